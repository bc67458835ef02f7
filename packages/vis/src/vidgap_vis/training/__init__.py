"""The training loop and what it stands on; `pretrain.py` and `finetune.py` are its two uses."""
