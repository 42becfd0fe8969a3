"""Shows what each choice of a setting is worth: tables, sentences, figures and sections."""
