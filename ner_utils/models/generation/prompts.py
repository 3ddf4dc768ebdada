"""Which text does a model continue, and which answer does training teach?"""

from __future__ import annotations

import os
import random
from collections.abc import Collection
from typing import Any

from transformers import AutoTokenizer

from ner_utils.config.run import Run
from ner_utils.data.corpus import IGNORED, Sentence
from ner_utils.forms.conversation import Conversation
from ner_utils.models.control_tokens import as_text, control_tokens
from ner_utils.models.generation.chat_templates import ChatTemplate


class Prompter(Conversation):
    """Turns sentences into the token ids of prompts and answers, ``without`` some types of the corpus.

    Raises `ValueError` where a model's tokenizer has no pad token besides its end token, or its chat template
    leaves out a part of the prompt.
    """

    def __init__(self, run: Run, source: str, without: Collection[str] = ()) -> None:
        super().__init__(run, without)
        self.loss, self.shuffles, self.seed = run.model.loss, run.model.type_order == "shuffled", run.seed
        self.name = f"{run.system} ({run.model.label})"
        self.tokenizer = AutoTokenizer.from_pretrained(source, padding_side="left")
        if run.model.pad_token:
            self.tokenizer.pad_token = run.model.pad_token
        self.template = ChatTemplate(self.tokenizer, self.name)
        self.end = self.template.end
        closing = self.template.closing.strip()  # this ends a turn, too
        self._control = ((closing,) if len(closing) > 1 else ()) + control_tokens(self.tokenizer)
        if self.tokenizer.pad_token_id in (None, self.end):
            raise ValueError(
                f"{self.name}: give a pad_token that differs from the end token, or no end is learnt"
            )
        self._system_turn = bool(self.template) and self.template.takes_system(self.format.instruction())
        self._check()

    def plain_text(self, text: str) -> str:
        """The text without control tokens, because a sentence must not end its own turn. The blanks that this
        adds do not matter: mentions are compared without white space."""
        return as_text(text, self._control)

    def prompt(self, sentence: Sentence, learning: bool = False) -> str:
        """The text that the model continues."""
        instruction = self._instruction(sentence, learning)
        if self.template:
            return self.template.render(self.messages(sentence, instruction, self._system_turn))
        # A base model reads plain text.
        shown = [f"Text: {question}\nAnswer:\n{answer}" for question, answer in self.turns()]
        parts = [instruction, *shown, f"Text: {self.plain_text(sentence.text)}\nAnswer:\n"]
        return (self.tokenizer.bos_token or "") + "\n\n".join(parts)

    def _check(self) -> None:
        """Raise `ValueError` unless a prompt holds the instruction, the examples and the sentence."""
        sentence = Sentence("", None, ("Ada", "met", "Zebra"), ())
        prompt = self.prompt(sentence)
        parts = {"the instruction": self.format.instruction(), "the sentence": sentence.text}
        for number, shown in enumerate(self.examples, 1):
            parts[f"example {number}"] = self.plain_text(shown.text)
            parts[f"the answer of example {number}"] = self.answer(shown)
        for part, text in parts.items():
            if text not in prompt:
                raise ValueError(f"{self.name}: {part} is not in the prompt that its chat template renders")

    def _instruction(self, sentence: Sentence, learning: bool) -> str:
        """The instruction. With ``type_order: shuffled``, each training sentence orders the types in its own
        way."""
        if not (learning and self.shuffles):
            return self.format.instruction()
        types = list(self.format.types)
        return self.format.instruction(random.Random(f"{self.seed} {sentence.id}").sample(types, len(types)))

    def ends(self, settings: Any) -> list[int]:
        """Ids of the tokens that end an answer: first the one that training teaches, then those of the
        tokenizer and of the model's generation config."""
        declared = settings.eos_token_id
        declared = declared if isinstance(declared, list) else [declared]
        known = [self.end, self.tokenizer.eos_token_id, *declared]
        return list(dict.fromkeys(end for end in known if end is not None))

    def shared_prefix(self) -> list[int]:
        """Token ids with which every prompt begins, whatever its sentence."""
        words = ("a", "Zebra")
        return os.path.commonprefix(
            [self.ids(self.prompt(Sentence("", None, (word,), ()))) for word in words]
        )

    def ids(self, text: str) -> list[int]:
        """Token ids of a text that contains its special tokens already."""
        return self.tokenizer(text, add_special_tokens=False)["input_ids"]

    def example(self, sentence: Sentence) -> dict[str, list[int]]:
        """A training example, labelled where the loss counts: on the answer and its end, or everywhere."""
        prompt = self.ids(self.prompt(sentence, learning=True))
        answer = [*self.ids(self.answer(sentence) + self.template.closing), self.end]
        labels = prompt if self.loss == "sequence" else [IGNORED] * len(prompt)
        return {"input_ids": prompt + answer, "labels": labels + answer}
