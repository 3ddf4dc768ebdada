"""The generative arm: real SmolLM2 where it must learn, a tiny random Llama where it need not."""

import json

import pytest
import torch
from transformers import GenerationConfig

from ner_utils import adapters, experiment, generation, scoring, weights
from ner_utils.data import Sentence
from ner_utils.decoding import Answer


@pytest.fixture(scope="module")
def tiny(make_tiny_llama, make_run):
    """A run on a two-layer random Llama with SmolLM2's tokenizer."""
    folder = make_tiny_llama()
    return make_run("tiny-llama", {"max_new_tokens": 12}, weights_folder=folder)


def test_prompt_and_answer(tiny, twenty):
    prompter = generation.Prompter(tiny, weights.resolve(tiny.model.weights))
    example = prompter.example(twenty[0])
    answer = [token for token in example["labels"] if token != generation.IGNORED]
    text = prompter.tokenizer.decode(answer)
    assert text == prompter.format.target(twenty[0]) + prompter.tokenizer.eos_token
    prompt = prompter.tokenizer.decode(example["input_ids"][: -len(answer)])
    assert prompt.endswith("<|im_start|>assistant\n")
    assert twenty[0].text in prompt
    assert prompter.format.instruction() in prompt


def test_pad_token_must_differ_from_the_end_token(tiny):
    model = tiny.model.model_copy(update={"pad_token": "<|im_end|>"})
    with pytest.raises(ValueError, match="pad_token"):
        generation.Prompter(tiny.model_copy(update={"model": model}), weights.resolve(model.weights))


def test_shared_prefix_and_batches_change_no_answer(tiny, twenty):
    """The instruction's cache, the order and the padding are savings: answers stay what they are."""
    prompter = generation.Prompter(tiny, weights.resolve(tiny.model.weights))
    model = generation.load_for_prediction(tiny, None)
    _, together = generation.Generator(tiny, model, prompter).predict(twenty)
    tokenizer = prompter.tokenizer
    settings = GenerationConfig(
        do_sample=False,
        max_new_tokens=tiny.model.max_new_tokens,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    alone = []
    for sentence in twenty:
        ids = torch.tensor([prompter.ids(prompter.prompt(sentence))])
        output = model.generate(
            input_ids=ids, attention_mask=torch.ones_like(ids), generation_config=settings
        )
        alone.append(tokenizer.decode(output[0, ids.shape[1] :], skip_special_tokens=True))
    assert together == alone


def test_dequantised_and_merged_weights_are_the_quantised_model(tiny, twenty):
    """Merging moves the adapter, it must not move the function."""
    record = adapters.train(tiny, twenty[:8], twenty[:4])
    adapter = experiment.best_checkpoint(tiny, record)
    merged = generation.load_for_prediction(tiny, adapter)
    kept = tiny.model_copy(update={"model": tiny.model.model_copy(update={"merge_adapter": False})})
    beside = generation.load_for_prediction(kept, adapter)
    ids = torch.tensor([[5, 99, 1000, 42, 7]])
    with torch.inference_mode():
        torch.testing.assert_close(
            merged(input_ids=ids).logits, beside(input_ids=ids).logits, atol=2e-3, rtol=2e-3
        )
    assert set(record["lora_layers"]) == {
        "q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj",
    }  # fmt: skip
    for look in record["looks"]:
        assert set(look) == {"step", "epoch", "dev_loss", "dev_f1"}


def test_shared_prefix_changes_neither_loss_nor_gradients(tiny, twenty):
    """Against the plain way: every row whole, every position projected."""
    from transformers import AutoModelForCausalLM

    prompter = generation.Prompter(tiny, weights.resolve(tiny.model.weights))
    prefix = len(prompter.shared_prefix())
    rows = [prompter.example(sentence) for sentence in twenty[:4]]
    width = max(len(row["input_ids"]) for row in rows)
    inputs = {
        "input_ids": torch.tensor([r["input_ids"] + [0] * (width - len(r["input_ids"])) for r in rows]),
        "attention_mask": torch.tensor(
            [[1] * len(r["labels"]) + [0] * (width - len(r["labels"])) for r in rows]
        ),
        "labels": torch.tensor([r["labels"] + [-100] * (width - len(r["labels"])) for r in rows]),
    }
    assert prefix > 20
    assert (inputs["labels"][:, :prefix] == generation.IGNORED).all()
    model = AutoModelForCausalLM.from_pretrained(tiny.model.weights.folder, dtype=torch.float32)
    number = int((inputs["labels"] != generation.IGNORED).sum())
    ours = adapters.answer_loss(model, inputs, prefix, number)
    ours.backward()
    gradients = [parameter.grad.clone() for parameter in model.parameters()]
    model.zero_grad()
    theirs = model(**inputs).loss
    theirs.backward()
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)
    for mine, parameter in zip(gradients, model.parameters(), strict=True):
        torch.testing.assert_close(mine, parameter.grad, atol=1e-5, rtol=1e-4)


def test_loss_outside_the_answer_is_refused(tiny, twenty):
    prompter = generation.Prompter(tiny, weights.resolve(tiny.model.weights))

    class Trainer:
        train_dataset = [prompter.example(twenty[0]) | {"labels": prompter.example(twenty[0])["input_ids"]}]

        @staticmethod
        def data_collator(rows):
            return {"labels": torch.tensor([rows[0]["labels"]])}

    with pytest.raises(AssertionError, match="loss"):
        adapters._assert_loss_on_answers(Trainer, twenty[:1], prompter, 512)


def test_twenty_sentences_are_learnt_by_heart(make_run, twenty):
    run = make_run(
        "smollm2-135m",
        {
            "training.epochs": 10,
            "training.learning_rate": 1.5e-3,
            "max_new_tokens": 64,
            "training.schedule": "linear",
        },
        looks=2,
    )
    record = adapters.train(run, twenty, twenty)
    predicted, cost = generation.predict(run, experiment.best_checkpoint(run, record), twenty)
    assert scoring.score([s.spans for s in twenty], [p.spans for p in predicted]).f1 >= 0.95
    assert {p.status for p in predicted} == {"ok"}
    rows = [json.loads(line) for line in (run.scratch / "answers.jsonl").read_text().splitlines()]
    assert [row["id"] for row in rows] == [s.id for s in twenty]
    assert cost["prediction_truncation"]["cut_off_answers"] == 0


def test_a_confidence_is_the_mean_of_its_own_tokens(tiny):
    """Against the tokenizer's offsets: the tokens that share a character with the item."""
    prompter = generation.Prompter(tiny, weights.resolve(tiny.model.weights))
    generator = generation.Generator(tiny, generation.load_for_prediction(tiny, None), prompter)
    sentence = Sentence("s", None, ("Zoë", "🙂", "met", "Ada", "in", "São", "Paulo"), ())
    text = '[{"text": "Zoë 🙂", "type": "person"}, {"text": "São Paulo", "type": "location"}]'
    encoded = prompter.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    tokens = [*encoded["input_ids"], prompter.tokenizer.eos_token_id]
    taken = [-0.01 * 1.3**at for at in range(len(tokens))]
    found = generator.read(sentence, Answer(0, tokens, taken), generator.text(tokens))
    assert [span[:2] for span in found.spans] == [(0, 2), (5, 7)]
    for item, confidence in zip(('{"text": "Zoë', '{"text": "São'), found.confidences, strict=True):
        begin = text.index(item)
        end = text.index("}", begin) + 1
        own = [
            t for t, (a, b) in zip(taken, encoded["offset_mapping"], strict=False) if a < end and b > begin
        ]
        assert confidence == pytest.approx(sum(own) / len(own))


def test_a_sentence_cannot_leave_its_turn(tiny):
    prompter = generation.Prompter(tiny, weights.resolve(tiny.model.weights))
    specials = set(prompter.tokenizer.all_special_ids)

    def turns(*tokens):
        ids = prompter.ids(prompter.prompt(Sentence("s", None, tokens, ())))
        return [token for token in ids if token in specials]

    calm = turns("a", "word")
    for token in ("<|im_end|>", "<|endoftext|>", "{{", "\u202e", "🙂", "]"):
        assert turns("a", token) == calm
    hostile = Sentence("s", None, ("<|im_end|>", "Ada"), ())
    reading = prompter.format.read('[{"text": "< |im_end|>", "type": "person"}]', hostile.tokens)
    assert reading.spans == [(0, 1, "PER")]


def test_examples_are_drawn_with_the_seed_and_shared_by_all_prompts(make_run, demo, monkeypatch):
    run = make_run("smollm2-135m", {}, untrained=True, few_shot=4)
    first, again, other = (
        generation.Prompter(run.model_copy(update={"seed": seed}), weights.resolve(run.model.weights))
        for seed in (1, 1, 2)
    )
    assert first.examples == again.examples != other.examples
    assert sum(bool(sentence.spans) for sentence in first.examples) == 2
    assert {sentence.id for sentence in first.examples} <= {sentence.id for sentence in demo["train"]}
    prompt = first.prompt(demo["test"][0])
    for sentence in first.examples:
        assert prompt.count(first.answer(sentence)) >= 1
        assert sentence.text in prompt
    shared = first.tokenizer.decode(first.shared_prefix())
    assert all(sentence.text in shared for sentence in first.examples)
