//! The default model, where the feature `embedded-model` puts it into the program.

/// The files of a shipped model.
pub struct Shipped {
    /// Its name: the folder below `models/`.
    pub name: &'static str,
    /// config.json.
    pub config: &'static [u8],
    /// generation_config.json.
    pub generation_config: &'static [u8],
    /// tokenizer.json.
    pub tokenizer: &'static [u8],
    /// model.safetensors.
    pub weights: &'static [u8],
}

/// The default model.
#[cfg(feature = "embedded-model")]
pub const SHIPPED: Option<Shipped> = Some(Shipped {
    name: "led-small",
    config: include_bytes!("../../models/led-small/config.json"),
    generation_config: include_bytes!("../../models/led-small/generation_config.json"),
    tokenizer: include_bytes!("../../models/led-small/tokenizer.json"),
    weights: include_bytes!("../../models/led-small/model.safetensors"),
});

/// Left out of this build.
#[cfg(not(feature = "embedded-model"))]
pub const SHIPPED: Option<Shipped> = None;
