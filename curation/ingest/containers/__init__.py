"""Opens files, folders and hub data sets as streams of numbered rows, whatever container they come in."""
