"""Prompts: a document and a prompt template become the tokens that the engine is asked to continue.

`render.py` cuts documents to the context, `tokenizer.py` encodes them within the model's own chat template
(`chat_template.py`) while their control strings stay plain text (`control.py`), and `check.py` proves all of
it for a job while it is planned.
"""
