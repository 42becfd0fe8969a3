"""The report of a CKA comparison."""
