"""How far training moved each weight matrix: `sft diff`."""
