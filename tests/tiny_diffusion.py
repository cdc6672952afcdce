"""Makes real diffusers checkpoints with random weights, small enough for a test, offline, in the layouts published."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    AutoencoderKLFlux2,
    DiffusionPipeline,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    Flux2KleinPipeline,
    Flux2Pipeline,
    Flux2Transformer2DModel,
    FluxPipeline,
    FluxTransformer2DModel,
    PNDMScheduler,
    StableDiffusionInpaintPipeline,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
from tokenizers import pre_tokenizers
from transformers import (
    CLIPConfig,
    CLIPImageProcessorPil,
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    Mistral3Config,
    Mistral3ForConditionalGeneration,
    Qwen2TokenizerFast,
    Qwen3Config,
    Qwen3ForCausalLM,
    T5Config,
    T5EncoderModel,
    T5TokenizerFast,
)

from tests import tiny

NATIVE = 256
WINDOW = 77
_WIDTH = 16
_BYTES = sorted(pre_tokenizers.ByteLevel.alphabet())
_NOISE = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1}
_READER = {"hidden_size": 8, "intermediate_size": 16, "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 4}
_CHAT = "{% for message in messages %}<|im_start|>{{ message.content }}{% endfor %}"


def clip_tokenizer(folder: Path) -> CLIPTokenizer:
    """A token for each byte, from `vocab.json` and `merges.txt` as the published models have them."""
    folder.mkdir(parents=True)
    pieces = [*_BYTES, *(f"{piece}</w>" for piece in _BYTES), "<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({piece: id for id, piece in enumerate(pieces)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    settings = {"tokenizer_class": "CLIPTokenizer", "model_max_length": WINDOW, "pad_token": "<|endoftext|>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return CLIPTokenizer.from_pretrained(folder)


def _vae(**more: Any) -> AutoencoderKL:
    blocks = {"down_block_types": ["DownEncoderBlock2D"] * 4, "up_block_types": ["UpDecoderBlock2D"] * 4}
    widths = {"block_out_channels": [4, 4, 8, 8], "norm_num_groups": 2, "layers_per_block": 1}
    return AutoencoderKL(latent_channels=4, sample_size=NATIVE, **blocks, **widths, **more)


def _unet(**more: Any) -> UNet2DConditionModel:
    return UNet2DConditionModel(
        **{
            "sample_size": NATIVE // 8,
            "block_out_channels": [8, 16],
            "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D"],
            "up_block_types": ["CrossAttnUpBlock2D", "UpBlock2D"],
            "layers_per_block": 1,
            "attention_head_dim": 4,
            "norm_num_groups": 4,
            "cross_attention_dim": _WIDTH,
        }
        | more
    )


def _clip(tokenizer: CLIPTokenizer, kind: Any = CLIPTextModel) -> Any:
    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=_WIDTH,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=WINDOW,
        projection_dim=_WIDTH,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return kind(config)


def _checker() -> dict[str, Any]:
    """A safety checker that flags everything: no picture is less like its concepts than -2."""
    tower = {"hidden_size": 8, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    vision = {**tower, "image_size": 32, "patch_size": 16, "projection_dim": 8}
    checker = StableDiffusionSafetyChecker(CLIPConfig(vision_config=vision, text_config=tower, projection_dim=8))
    checker.concept_embeds_weights.data.fill_(-2.0)
    side = {"height": 32, "width": 32}
    return {"safety_checker": checker, "feature_extractor": CLIPImageProcessorPil(size=side, crop_size=side)}


def stable_diffusion(folder: Path, *, inpainting: bool = False, checked: bool = False) -> Path:
    """Stable Diffusion 1.5: four channels into the UNet, or the nine of inpainting; with a safety checker if asked."""
    torch.manual_seed(0)
    tokenizer = clip_tokenizer(folder / "tokenizer")
    parts = _checker() if checked else {"safety_checker": None, "feature_extractor": None}
    kind = StableDiffusionInpaintPipeline if inpainting else StableDiffusionPipeline
    return _save(
        kind(
            vae=_vae(),
            unet=_unet(in_channels=9 if inpainting else 4),
            text_encoder=_clip(tokenizer),
            tokenizer=tokenizer,
            scheduler=PNDMScheduler(skip_prk_steps=True, **_NOISE),
            requires_safety_checker=checked,
            **parts,
        ),
        folder,
    )


def stable_diffusion_xl(folder: Path, **saving: Any) -> Path:
    """Stable Diffusion XL: two text encoders, sizes among the conditions."""
    torch.manual_seed(0)
    tokenizers = [clip_tokenizer(folder / name) for name in ("tokenizer", "tokenizer_2")]
    unet = _unet(
        cross_attention_dim=2 * _WIDTH,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=_WIDTH + 6 * 8,
        use_linear_projection=True,
    )
    pipeline = StableDiffusionXLPipeline(
        vae=_vae(scaling_factor=0.13025),
        unet=unet,
        text_encoder=_clip(tokenizers[0]),
        text_encoder_2=_clip(tokenizers[1], CLIPTextModelWithProjection),
        tokenizer=tokenizers[0],
        tokenizer_2=tokenizers[1],
        scheduler=EulerDiscreteScheduler(**_NOISE),
    )
    return _save(pipeline, folder, **saving)


def flux(folder: Path) -> Path:
    """FLUX.1 [schnell]: CLIP for the sum of a prompt, T5 for its words, no embedded guidance."""
    torch.manual_seed(0)
    clip = clip_tokenizer(folder / "tokenizer")
    t5 = T5TokenizerFast(vocab=[("<pad>", 0.0), ("</s>", 0.0), ("<unk>", -9.0), *((c, -3.0) for c in ["▁", *_BYTES])])
    words = T5Config(vocab_size=len(t5), d_model=_WIDTH, d_kv=8, d_ff=32, num_layers=1, num_heads=2)
    transformer = FluxTransformer2DModel(
        in_channels=16,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=_WIDTH,
        pooled_projection_dim=_WIDTH,
        axes_dims_rope=(4, 4, 8),
    )
    pipeline = FluxPipeline(
        vae=_vae(shift_factor=0.1),
        transformer=transformer,
        text_encoder=_clip(clip),
        text_encoder_2=T5EncoderModel(words),
        tokenizer=clip,
        tokenizer_2=t5,
        scheduler=FlowMatchEulerDiscreteScheduler(shift=1.0),
    )
    return _save(pipeline, folder)


def flux_2(folder: Path) -> Path:
    """FLUX.2 [klein], distilled: Qwen3 reads the prompt, and images to look at join the picture's tokens."""
    torch.manual_seed(0)
    special = ["<|endoftext|>", "<|im_start|>"]
    tokenizer = Qwen2TokenizerFast(vocab={piece: id for id, piece in enumerate([*_BYTES, *special])}, merges=[])
    tokenizer.chat_template = _CHAT
    encoder = Qwen3Config(vocab_size=len(tokenizer), num_hidden_layers=28, **_READER)
    pipeline = Flux2KleinPipeline(
        text_encoder=Qwen3ForCausalLM(encoder), tokenizer=tokenizer, is_distilled=True, **_flux_2_parts(False)
    )
    return _save(pipeline, folder)


def flux_2_dev(folder: Path) -> Path:
    """FLUX.2 [dev]: Mistral 3 reads the prompt, and guidance is embedded."""
    torch.manual_seed(0)
    tokenizer = tiny.byte_tokenizer()
    tokenizer.chat_template = _CHAT.replace("message.content", "message.content[0].text")
    reader = {"model_type": "mistral", "vocab_size": len(tokenizer), "num_hidden_layers": 31, **_READER}
    tower = {"hidden_size": 8, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "head_dim": 4}
    encoder = Mistral3Config(text_config=reader, vision_config={"model_type": "pixtral", "image_size": 32, **tower})
    pipeline = Flux2Pipeline(
        text_encoder=Mistral3ForConditionalGeneration(encoder), tokenizer=tokenizer, **_flux_2_parts(True)
    )
    return _save(pipeline, folder)


def _flux_2_parts(guided: bool) -> dict[str, Any]:
    vae = AutoencoderKLFlux2(
        block_out_channels=(4, 4, 4, 4), layers_per_block=1, norm_num_groups=2, latent_channels=4, sample_size=NATIVE
    )
    transformer = Flux2Transformer2DModel(
        in_channels=16,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=3 * 8,
        timestep_guidance_channels=16,
        axes_dims_rope=(4, 4, 4, 4),
        guidance_embeds=guided,
    )
    scheduler = FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True)
    return {"vae": vae, "transformer": transformer, "scheduler": scheduler}


def _save(pipeline: DiffusionPipeline, folder: Path, **saving: Any) -> Path:
    """The usual small weights give every prompt and every noise nearly the same grey."""
    for part in pipeline.components.values():
        if isinstance(part, torch.nn.Module) and not isinstance(part, StableDiffusionSafetyChecker):
            for weights in part.parameters():
                if weights.dim() > 1:
                    weights.data *= 1.5
    pipeline.save_pretrained(folder, **saving)
    return folder
