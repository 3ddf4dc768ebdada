"""Decoding, packed or not, against `generate` with one prompt at a time; the loss against the library's."""

import copy
from types import SimpleNamespace

import pytest
import torch
from tiny_models import TINY_LLAMA
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    Qwen3_5TextConfig,
)

from ner_utils.forms.json_list import JsonForm
from ner_utils.models.generation import qlora
from ner_utils.models.generation.constraints import Constraints
from ner_utils.models.generation.decoding import Decoder
from ner_utils.models.generation.packed import shares_beginnings

PAD, END, LIMIT = 0, 9999, 24  # no token is the end unless a test says so
SHARED = [11, 12, 13, 14]
PROMPTS = [SHARED + list(range(20, 20 + 3 * size)) for size in (1, 9, 4, 2, 7, 1, 3, 5)]
BOTH_WAYS = pytest.mark.parametrize("shared", [SHARED, []], ids=["packed", "by the library"])


def one_by_one(model, prompts=PROMPTS):
    """Answers of `generate`, with its own generation config."""
    settings = GenerationConfig(do_sample=False, max_new_tokens=LIMIT, pad_token_id=PAD, eos_token_id=END)
    for prompt in prompts:
        ids = torch.tensor([prompt])
        output = model.generate(ids, attention_mask=torch.ones_like(ids), generation_config=settings)
        yield output[0, len(prompt) :].tolist()


def cut(answer, ends):
    """A greedy answer up to its first end."""
    return answer[: next((at for at, token in enumerate(answer, 1) if token in ends), len(answer))]


def tokens_of(answers):
    return [answer.tokens for answer in sorted(answers)]


def random_llama(**changes):
    """Weights so large that answers wander, and do not repeat one token."""
    torch.manual_seed(0)
    return LlamaForCausalLM(LlamaConfig(**TINY_LLAMA, head_dim=32, initializer_range=0.5, **changes)).eval()


@pytest.fixture(scope="module")
def llama():
    return random_llama(vocab_size=97)


@pytest.fixture(scope="module")
def free(llama):
    """What the model writes up to the limit."""
    return list(one_by_one(llama))


def test_packed_decoding_needs_a_shared_beginning_and_plain_attention(llama):
    assert Decoder(llama, SHARED, PAD, [END], LIMIT).packed
    assert not Decoder(llama, [], PAD, [END], LIMIT).packed
    assert shares_beginnings(llama.config)
    assert not shares_beginnings(MistralConfig(sliding_window=8))
    assert not shares_beginnings(Qwen3_5TextConfig(num_hidden_layers=4))  # three of them linear


def test_rows_that_end_at_different_steps(llama, free):
    """An ended row makes room for a prompt that waits."""
    lengths = set()
    for end in sorted({token for answer in free for token in answer[1::5]})[:5]:
        expected = [cut(answer, [end]) for answer in free]
        for rows in (1, 3, len(PROMPTS)):
            assert tokens_of(Decoder(llama, SHARED, PAD, [end], LIMIT).answers(PROMPTS, rows)) == expected
        lengths.update(map(len, expected))
    assert len(lengths) > 3, "the rows ended alike, which proves little"


@BOTH_WAYS
def test_each_of_several_ends_ends_an_answer(llama, free, shared):
    """Generation configs list several, such as Gemma's end of a turn and end of text."""
    ends = [free[0][3], free[1][5], free[2][2]]
    expected = [cut(answer, ends) for answer in free]
    assert {answer[-1] for answer in expected} >= set(ends), "an end that never comes proves nothing"
    assert tokens_of(Decoder(llama, shared, PAD, ends, LIMIT).answers(PROMPTS, 3)) == expected


@BOTH_WAYS
def test_answers_and_log_probabilities_are_the_models_own(llama, free, shared, monkeypatch):
    """Whatever its generation config adds: Qwen2.5's holds a repetition penalty."""
    monkeypatch.setattr(llama, "generation_config", GenerationConfig(repetition_penalty=3.0, min_length=90))
    penalised = list(one_by_one(llama, PROMPTS[:2]))
    assert penalised != free[:2]
    answers = sorted(Decoder(llama, shared, PAD, [END], LIMIT).answers(PROMPTS, 3))
    assert tokens_of(answers) == free
    for prompt, (_, tokens, log_probabilities) in zip(PROMPTS, answers, strict=True):
        with torch.inference_mode():
            scores = llama(torch.tensor([prompt + tokens])).logits[0].log_softmax(-1)
        expected = [float(scores[len(prompt) - 1 + at, token]) for at, token in enumerate(tokens)]
        assert log_probabilities == pytest.approx(expected, abs=1e-3)
    assert list(one_by_one(llama, PROMPTS[:2])) == penalised, "the model's settings were lost"


def test_a_prompt_that_begins_otherwise_is_refused(llama):
    decoder = Decoder(llama, SHARED, PAD, [END], LIMIT)
    with pytest.raises(ValueError, match="begin"):
        list(decoder.answers([[*SHARED, 20], [SHARED[0], 99, *SHARED[2:], 20]], 2))


@BOTH_WAYS
def test_logits_that_are_no_numbers_are_an_error(llama, shared):
    """The largest of NaNs is a token, too: an overflow must not become an answer."""
    broken = copy.deepcopy(llama)
    torch.nn.init.constant_(broken.lm_head.weight, float("nan"))
    with pytest.raises(FloatingPointError, match="LlamaForCausalLM"):
        list(Decoder(broken, shared, PAD, [END], LIMIT).answers(PROMPTS, 3))


def test_packed_decoding_under_autocast(llama):
    with torch.autocast("cpu", torch.bfloat16):
        decoder = Decoder(llama, SHARED, PAD, [END], LIMIT)
        assert decoder.packed
        assert {len(answer.tokens) for answer in decoder.answers(PROMPTS, 3)} == {LIMIT}


def test_between_two_steps_the_model_is_as_it_was(llama, free):
    answers = Decoder(llama, SHARED, PAD, [END], LIMIT).answers(PROMPTS, 3)
    first = next(answers)
    assert list(one_by_one(llama, PROMPTS[:2])) == free[:2]
    assert tokens_of([first, *answers]) == free


def test_both_ways_obey_constraints_alike(make_tiny_llama):
    """Tokens that must follow pass through the model in one step when packed, one by one in the library."""
    tokenizer = AutoTokenizer.from_pretrained(make_tiny_llama())
    model, end = random_llama(vocab_size=len(tokenizer)), tokenizer.eos_token_id
    sentences = [["Ada", "met", "Bo"], ["in", "São", "Paulo", "and", "Rome"], ["Zoë", "Quinn"] * 2]
    form = JsonForm({"PER": "person", "LOC": "location"})
    makes = Constraints("grounded", form, tokenizer, len(tokenizer), 40)
    prompts = [SHARED + tokenizer(" ".join(words))["input_ids"] for words in sentences]
    packed, plain = (
        sorted(
            Decoder(model, shared, PAD, [end], 40).answers(prompts, 2, [makes.of(each) for each in sentences])
        )
        for shared in (SHARED, [])
    )
    assert tokens_of(packed) == tokens_of(plain)
    for ours, library in zip(packed, plain, strict=True):
        assert ours.log_probabilities == pytest.approx(library.log_probabilities, abs=1e-4)
        assert 0.0 in library.log_probabilities, "what was forced is certain"
    assert any(len(answer.tokens) > 12 for answer in plain), "nothing but [] proves little"


# ---------------------------------------------------- models that scale or cap their logits or attention
SMALL = TINY_LLAMA | {"num_attention_heads": 4, "vocab_size": 97, "initializer_range": 0.5}
SMALL |= {"num_key_value_heads": 2}
SMALL |= {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0, "max_position_embeddings": 128}
SMALL |= {"tie_word_embeddings": False}
WINDOW = {"head_dim": 16, "sliding_window": 6, "layer_types": ["sliding_attention", "full_attention"]}
CAPS = {"final_logit_softcapping": 3.0, "attn_logit_softcapping": 2.0, "query_pre_attn_scalar": 16}
# The class, its settings, and whether it is decoded packed. Scales and caps change losses and probabilities.
SCALED = {
    "llama": ("llama", {}, True),
    "granite": ("granite", {"logits_scaling": 7.0, "attention_multiplier": 0.05}, True),
    "cohere": ("cohere", {"logit_scale": 0.25}, True),
    "cohere2": ("cohere2", WINDOW | {"logit_scale": 0.25}, False),
    "gemma2": ("gemma2", WINDOW | CAPS, False),
    "gemma2 without windows": (
        "gemma2",
        CAPS | {"head_dim": 16, "layer_types": ["full_attention"] * 2},
        False,
    ),
    "nanochat": ("nanochat", {"final_logit_softcapping": 3.0}, True),
}
BEGINNING = [11, 12, 13, 14, 15, 16, 17, 18, 19]
FEW = [BEGINNING + list(range(20, 20 + 3 * size)) for size in (1, 5, 3, 2)]


@pytest.fixture(scope="module", params=SCALED)
def scaled(request):
    """A random model of a class, whose numbers are large enough for caps and scales to matter."""
    kind, settings, packed = SCALED[request.param]
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **SMALL | settings)).eval()
    model.packed = packed
    return model


def test_the_loss_is_the_librarys(scaled):
    prefix = 7 if shares_beginnings(scaled.config) else 0
    width = max(map(len, FEW))
    pad = [width - len(ids) for ids in FEW]
    inputs = {
        "input_ids": torch.tensor([ids + [0] * more for ids, more in zip(FEW, pad, strict=True)]),
        "attention_mask": torch.tensor([[1] * (width - more) + [0] * more for more in pad]),
        "labels": torch.tensor(
            [[-100] * 8 + ids[8:] + [-100] * more for ids, more in zip(FEW, pad, strict=True)]
        ),
    }
    gradients = []
    for loss in (
        qlora.answer_loss(scaled, inputs, prefix, int((inputs["labels"] != -100).sum())),
        scaled(**inputs, use_cache=False).loss,
    ):
        scaled.zero_grad()
        loss.backward()
        gradients.append([loss.detach(), *(each.grad.clone() for each in scaled.parameters())])
    for ours, library in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, library, atol=1e-4, rtol=1e-3)


def test_answers_and_their_log_probabilities_are_the_librarys(scaled):
    settings = GenerationConfig(do_sample=False, max_new_tokens=12, pad_token_id=0, eos_token_id=2)
    decoder = Decoder(scaled, BEGINNING, 0, [2], 12)
    assert bool(decoder.packed) == scaled.packed
    answers = sorted(decoder.answers(FEW, 3))
    lengths = set()
    for prompt, (_, tokens, log_probabilities) in zip(FEW, answers, strict=True):
        ids = torch.tensor([prompt])
        output = scaled.generate(ids, attention_mask=torch.ones_like(ids), generation_config=settings)
        assert tokens == output[0, len(prompt) :].tolist()
        with torch.inference_mode():
            scores = scaled(output).logits[0].log_softmax(-1)
        expected = [float(scores[len(prompt) - 1 + at, token]) for at, token in enumerate(tokens)]
        assert log_probabilities == pytest.approx(expected, abs=1e-3)
        assert min(expected) < -1e-3, "certain tokens prove nothing"
        lengths.add(len(set(tokens)))
    assert max(lengths) > 1, "answers that repeat one token prove little"


def test_a_model_that_projects_every_position_is_refused():
    class Whole(torch.nn.Module):
        def forward(self, input_ids, **_):
            return SimpleNamespace(logits=torch.zeros(*input_ids.shape, 7))

    ids = torch.tensor([[1, 2, 3]])
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": ids}
    with pytest.raises(NotImplementedError, match="Whole"):
        qlora.answer_loss(Whole(), inputs, 0, 1)
