//! The variables of huggingface_hub: where its cache is, which server it asks, as whom, and whether it may.

use crate::error::{Error, Result};
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

const ENDPOINT: &str = "https://huggingface.co";
/// Seconds without a byte after which a server counts as gone.
const PATIENCE: u64 = 10;

/// What the environment says. It is never printed: it may hold a token.
#[derive(Clone, Default)]
pub struct Env {
    /// The folder of all repositories.
    pub cache: Option<PathBuf>,
    /// The variable that says that nothing may be fetched, if one does.
    pub offline: Option<&'static str>,
    /// The server, without a slash at the end.
    pub endpoint: String,
    /// How long a server may be silent.
    pub patience: Duration,
    token: Option<String>,
    token_file: Option<PathBuf>,
}

impl Env {
    /// That of this process.
    pub fn new() -> Self {
        Self::of(&|name| std::env::var_os(name))
    }

    /// What these variables say; an empty one counts as none.
    pub fn of(variable: &dyn Fn(&str) -> Option<OsString>) -> Self {
        let value = |name: &str| variable(name).filter(|v| !v.is_empty());
        let text = |name: &str| value(name).and_then(|v| v.into_string().ok());
        let user = value("HOME").map(PathBuf::from);
        let path = |name: &str| {
            let path = PathBuf::from(value(name)?);
            // a shell does not replace the tilde of `HF_HOME="~/models"`, huggingface_hub does
            match (path.strip_prefix("~"), &user) {
                (Ok(rest), Some(user)) => Some(user.join(rest)),
                _ => Some(path),
            }
        };
        let cached = || path("XDG_CACHE_HOME").or_else(|| Some(user.as_ref()?.join(".cache")));
        let home = path("HF_HOME").or_else(|| Some(cached()?.join("huggingface")));
        let beside = |file: &str| home.as_ref().map(|home| home.join(file));
        let is_true = |name: &str| text(name).map(|v| ["1", "ON", "YES", "TRUE"].contains(&v.to_uppercase().as_str()));
        Self {
            cache: path("HF_HUB_CACHE").or_else(|| path("HUGGINGFACE_HUB_CACHE")).or_else(|| beside("hub")),
            // the first that is set has the say
            offline: ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"].into_iter().find_map(|v| is_true(v).map(|on| on.then_some(v))).flatten(),
            endpoint: text("HF_ENDPOINT").unwrap_or_else(|| ENDPOINT.to_owned()).trim_end_matches('/').to_owned(),
            patience: Duration::from_secs(
                text("HF_HUB_DOWNLOAD_TIMEOUT").and_then(|s| s.parse().ok()).filter(|s| *s > 0).unwrap_or(PATIENCE),
            ),
            token: text("HF_TOKEN").or_else(|| text("HUGGING_FACE_HUB_TOKEN")),
            token_file: path("HF_TOKEN_PATH").or_else(|| beside("token")),
        }
    }

    /// The token: the variable's, else the file's.
    pub fn token(&self) -> Result<Option<String>> {
        let clean = |token: &str| Some(token.replace(['\r', '\n'], "").trim().to_owned()).filter(|t| !t.is_empty());
        let stored = || self.token_file.as_ref().and_then(|file| std::fs::read_to_string(file).ok());
        let token = self.token.as_deref().and_then(clean).or_else(|| stored().as_deref().and_then(clean));
        match &token {
            Some(token) if !token.bytes().all(|b| b.is_ascii_graphic()) => {
                Err(Error::usage("HF_TOKEN, or the file of the token, holds no token")
                    .hint("a token is letters and figures in a row, and begins with `hf_`"))
            }
            _ => Ok(token),
        }
    }

    /// The cache's folder.
    pub fn cache(&self) -> Result<&PathBuf> {
        self.cache.as_ref().ok_or_else(|| {
            Error::new("there is no home directory to look for the Hugging Face cache in")
                .hint("say where it is with HF_HOME or HF_HUB_CACHE")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(set: &[(&str, &str)]) -> Env {
        let set: Vec<(String, OsString)> = set.iter().map(|(k, v)| ((*k).to_owned(), OsString::from(v))).collect();
        Env::of(&move |name| set.iter().find(|(k, _)| k == name).map(|(_, v)| v.clone()))
    }

    fn cache(set: &[(&str, &str)]) -> String {
        env(set).cache.unwrap().display().to_string()
    }

    #[test]
    fn the_cache_is_where_huggingface_hub_has_it() {
        let all = [("HF_HUB_CACHE", "/a"), ("HUGGINGFACE_HUB_CACHE", "/b"), ("HF_HOME", "/c"), ("XDG_CACHE_HOME", "/d"), ("HOME", "/e")];
        let places = ["/a", "/b", "/c/hub", "/d/huggingface/hub", "/e/.cache/huggingface/hub"];
        for (i, place) in places.iter().enumerate() {
            assert_eq!(cache(&all[i..]), *place);
        }
        assert_eq!(cache(&[("HF_HOME", "~/m"), ("HOME", "/e")]), "/e/m/hub");
        assert_eq!(cache(&[("HF_HUB_CACHE", ""), ("HF_HOME", "/c")]), "/c/hub");
        let error = env(&[]).cache().unwrap_err();
        assert!(error.remedy().unwrap().contains("HF_HOME"));
    }

    #[test]
    fn switches_server_and_token() {
        for (value, offline) in [("1", true), ("on", true), ("True", true), ("yes", true), ("0", false), ("no", false), ("", false)] {
            assert_eq!(env(&[("HF_HUB_OFFLINE", value)]).offline, offline.then_some("HF_HUB_OFFLINE"), "{value}");
        }
        assert_eq!(env(&[("TRANSFORMERS_OFFLINE", "1")]).offline, Some("TRANSFORMERS_OFFLINE"));
        assert_eq!(env(&[("HF_HUB_OFFLINE", "0"), ("TRANSFORMERS_OFFLINE", "1")]).offline, None);
        assert_eq!(env(&[]).endpoint, "https://huggingface.co");
        assert_eq!(env(&[("HF_ENDPOINT", "http://h:1/")]).endpoint, "http://h:1");
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().to_str().unwrap();
        std::fs::write(dir.path().join("token"), " hf_file\n").unwrap();
        std::fs::write(dir.path().join("other"), "hf_other").unwrap();
        let token = |set: &[(&str, &str)]| env(set).token().unwrap();
        assert_eq!(token(&[("HF_TOKEN", "hf_variable\n"), ("HF_HOME", home)]).as_deref(), Some("hf_variable"));
        assert_eq!(token(&[("HF_HOME", home)]).as_deref(), Some("hf_file"));
        let other = dir.path().join("other");
        assert_eq!(token(&[("HF_HOME", home), ("HF_TOKEN_PATH", other.to_str().unwrap())]).as_deref(), Some("hf_other"));
        assert_eq!(token(&[("HF_HOME", "/nowhere")]), None);
        let error = env(&[("HF_TOKEN", "hf_geheim ü")]).token().unwrap_err();
        assert!(!error.message().contains("geheim") && !error.remedy().unwrap().contains("geheim"));
    }
}
