"""The page for people: server-rendered, in the look of the reports. It works without a script, and better with one."""
