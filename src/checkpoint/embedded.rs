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

/// config.json of the folders of these names below `models/`.
macro_rules! configs {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_bytes!(concat!("../../models/", $name, "/config.json")))),*]
    };
}

/// Configurations for weights to be made up, by name.
pub const CONFIGS: &[(&str, &[u8])] = configs![
    "bart-base-16384",
    "bigbird-pegasus-base",
    "effattn-encoder-768",
    "effattn-lm-512",
    "led-base-16384",
    "led-large-16384",
    "longt5-local-base",
    "longt5-tglobal-base",
    "pegasus-x-base",
    "scaling-17b",
    "scaling-17b-ff-qkv",
    "scaling-17b-ff-qkv-loss",
    "scaling-800m",
    "scaling-800m-ff",
    "scaling-800m-ff-qkv",
    "scaling-800m-ff-qkv-dense-cross",
    "scaling-800m-ff-qkv-loss4",
    "scaling-800m-loss2",
    "scaling-800m-loss4",
    "scaling-800m-loss8",
    "scaling-800m-qkv",
    "terraformer-800m",
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
