"""The command line: one file a command. Only here are flags and exit codes."""
