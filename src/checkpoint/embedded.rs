//! The default model, where the feature `embedded-model` puts it into the program.

/// The files of a shipped model.
pub struct Files {
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

/// Configurations for weights to be made up, by name.
pub const CONFIGS: &[(&str, &[u8])] = &[
    ("bart-base-16384", include_bytes!("../../models/bart-base-16384/config.json")),
    ("led-base-16384", include_bytes!("../../models/led-base-16384/config.json")),
    ("led-large-16384", include_bytes!("../../models/led-large-16384/config.json")),
];

/// The default model.
#[cfg(feature = "embedded-model")]
pub const SHIPPED: Option<Files> = Some(Files {
    name: "led-small",
    config: include_bytes!("../../models/led-small/config.json"),
    generation_config: include_bytes!("../../models/led-small/generation_config.json"),
    tokenizer: include_bytes!("../../models/led-small/tokenizer.json"),
    weights: include_bytes!("../../models/led-small/model.safetensors"),
});

/// Left out of this build.
#[cfg(not(feature = "embedded-model"))]
pub const SHIPPED: Option<Files> = None;
