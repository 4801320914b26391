"""Start the server: `python -m embedded --home DIR [--port N]`. Prints one JSON line on stdout when it is ready."""

from embedded.launch import main

main()
