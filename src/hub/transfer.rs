//! Bytes from a server: redirects, the token, what was announced and what came.
//!
//! Addresses, the description of a repository and the layout of the cache are hf-hub's. Its transfer is not used: it sends the token to the
//! host that a redirect leads to, follows some redirects without end, builds paths of whatever a header says, and believes every length.

use super::env::Env;
use super::fetch::{Got, Trouble};
use crate::error::{Error, Result};
use std::io::Read;
use ureq::http::{HeaderMap, Response, Uri};
use ureq::{Agent, Body};

/// Addresses that a request may be sent on to.
const HOPS: usize = 10;
/// What to do about a server that does not behave like one.
pub const ODD: &str = "check HF_ENDPOINT: is it a Hugging Face hub?";
/// Most bytes of a description.
const DESCRIPTION: u64 = 32 << 20;

/// Requests to one server, and to where it sends them on.
pub struct Client {
    agent: Agent,
    home: Origin,
    token: Option<String>,
}

/// What tells servers apart: scheme, host and port.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Origin(String, String, u16);

impl Origin {
    fn of(uri: &Uri) -> Option<Self> {
        let scheme = uri.scheme_str()?.to_ascii_lowercase();
        let port = uri.port_u16().or(match scheme.as_str() {
            "https" => Some(443),
            "http" => Some(80),
            _ => None,
        })?;
        Some(Self(scheme, uri.host()?.to_ascii_lowercase(), port))
    }
}

/// What a request is for: how it is made, and what errors call it.
#[derive(Debug, Clone, Copy)]
pub struct Ask<'a> {
    /// The address.
    pub url: &'a str,
    /// `org/name`.
    pub name: &'a str,
    /// Branch, tag or commit.
    pub revision: &'a str,
    /// The file, if it is one.
    pub file: Option<&'a str>,
}

/// A file as its server announces it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Announced {
    /// What names its content.
    pub etag: String,
    /// Its bytes, where they are told.
    pub bytes: Option<u64>,
}

/// What comes of a file.
pub struct Incoming {
    /// Its bytes from `from` on.
    pub body: Box<dyn Read>,
    /// The first byte that comes.
    pub from: u64,
    /// Bytes of the whole file, where they are told.
    pub bytes: Option<u64>,
}

enum Follow {
    /// To the end.
    All,
    /// As long as the server stays the same.
    Home,
}

impl Client {
    /// Of what the environment says. Fails if the address of the server is none.
    pub fn new(env: &Env) -> Result<Self> {
        let home = env.endpoint.parse::<Uri>().ok().as_ref().and_then(Origin::of).ok_or_else(|| {
            Error::usage("HF_ENDPOINT is no address of a server")
                .hint("for instance `https://huggingface.co`, which it is when it is not set")
        })?;
        let config = Agent::config_builder()
            .max_redirects(0)
            .http_status_as_error(false)
            .timeout_connect(Some(env.patience))
            .timeout_recv_response(Some(env.patience))
            .timeout_per_read(Some(env.patience))
            .user_agent(concat!("effattn/", env!("CARGO_PKG_VERSION")));
        Ok(Self { agent: config.build().into(), home, token: env.token()? })
    }

    /// The description of a repository.
    pub fn describe(&self, ask: &Ask) -> Got<hf_hub::api::RepoInfo> {
        let (response, _) = self.send(ask, "GET", None, &Follow::All)?;
        let odd = |what: String| Trouble::Other(Error::new(format!("`{}`: {what}", self.home.1)).hint(ODD));
        let mut text = String::new();
        let body = response.into_body().into_with_config().limit(DESCRIPTION).reader();
        body.take(DESCRIPTION).read_to_string(&mut text).map_err(|e| self.broken(&e))?;
        serde_json::from_str(&text).map_err(|e| odd(format!("its answer is no description of a repository ({e})")))
    }

    /// How a file is announced; nothing of it comes.
    pub fn announced(&self, ask: &Ask) -> Got<Announced> {
        let (response, linked) = self.send(ask, "HEAD", None, &Follow::Home)?;
        let odd = |what: &str| Trouble::Other(ask.error(what).hint(ODD));
        let etag = text(&linked, "x-linked-etag").or_else(|| text(&linked, "etag")).ok_or_else(|| odd("the server sends no ETag"))?;
        let etag = etag.trim_start_matches("W/").trim_matches('"');
        // it becomes the name of a file
        let plain = !etag.is_empty() && etag.len() <= 128 && etag.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
        if !plain {
            return Err(odd("the server sends an ETag that cannot be a file's name"));
        }
        let length = if response.status().is_success() { number(response.headers(), "content-length") } else { None };
        Ok(Announced { etag: etag.to_owned(), bytes: number(&linked, "x-linked-size").or(length) })
    }

    /// A file from byte `from` on, or from its start if the server prefers so.
    pub fn open(&self, ask: &Ask, from: u64) -> Got<Incoming> {
        let (response, _) = self.send(ask, "GET", (from > 0).then_some(from), &Follow::All)?;
        let (status, headers) = (response.status().as_u16(), response.headers());
        let range = text(headers, "content-range");
        let length = number(headers, "content-length");
        let (from, bytes) = match (status, from) {
            (206, from) => {
                let told = range.as_deref().and_then(parts).filter(|(first, _)| *first == from);
                let (_, whole) =
                    told.ok_or_else(|| Trouble::Other(ask.error("the server sends another part than the one asked for").hint(ODD)))?;
                (from, whole)
            }
            _ => (0, length),
        };
        Ok(Incoming { body: Box::new(response.into_body().into_with_config().limit(u64::MAX).reader()), from, bytes })
    }

    /// A request and where it leads. The token goes to the server of the environment and to no other; headers are those of its answers alone.
    fn send(&self, ask: &Ask, method: &str, from: Option<u64>, follow: &Follow) -> Got<(Response<Body>, HeaderMap)> {
        let mut uri: Uri = ask.url.parse().map_err(|_| Trouble::Other(ask.error("its address is none").hint(ODD)))?;
        let mut own = HeaderMap::new();
        for _ in 0..=HOPS {
            let at_home = Origin::of(&uri).is_some_and(|origin| origin == self.home);
            let request = if method == "HEAD" { self.agent.head(&uri) } else { self.agent.get(&uri) };
            let mut request = request.header("accept-encoding", "identity");
            if let (Some(token), true) = (&self.token, at_home) {
                request = request.header("authorization", format!("Bearer {token}"));
            }
            if let Some(from) = from {
                request = request.header("range", format!("bytes={from}-"));
            }
            let response = request.call().map_err(|e| unreachable(&uri, &e))?;
            if at_home {
                response.headers().iter().for_each(|(key, value)| {
                    own.entry(key).or_insert_with(|| value.clone());
                });
            }
            let Some(next) = location(&response) else {
                return if response.status().is_success() { Ok((response, own)) } else { Err(self.refused(ask, &uri, &response)) };
            };
            let next = next
                .and_then(|next| resolve(&uri, &next))
                .ok_or_else(|| Trouble::Other(ask.error("the server sends on to no address").hint(ODD)))?;
            if uri.scheme_str() == Some("https") && next.scheme_str() != Some("https") {
                return Err(Trouble::Other(
                    ask.error("the server sends on from https to an address without it").hint("such a file could be anybody's"),
                ));
            }
            let leaves = Origin::of(&next).is_none_or(|origin| origin != self.home);
            if leaves && matches!(follow, Follow::Home) {
                return Ok((response, own));
            }
            uri = next;
        }
        Err(Trouble::Other(
            ask.error(&format!("the server sends on from one address to the next, more than {HOPS} times"))
                .hint("try later, or check HF_ENDPOINT"),
        ))
    }

    /// What an answer other than the one asked for means.
    fn refused(&self, ask: &Ask, uri: &Uri, response: &Response<Body>) -> Trouble {
        let code = text(response.headers(), "x-error-code").unwrap_or_default();
        let status = response.status().as_u16();
        let Ask { name, revision, .. } = ask;
        let known = self.token.is_some();
        let page = format!("{}://{}/{name}", self.home.0, host(uri));
        let gated = || {
            let with = if known { "the token of HF_TOKEN may not read it" } else { "no token was sent" };
            let hint = if known { "ask for access with that token's account at" } else { "ask for access, and give a token in HF_TOKEN;" };
            Error::new(format!("`{name}` is gated or private ({status}): {with}")).hint(format!("{hint} {page}"))
        };
        let error = match (status, code.as_str()) {
            (401 | 403, "GatedRepo") | (403, _) => gated(),
            (401, _) if known => Error::new(format!("`{name}` is not there, or not for this token (401)"))
                .hint("check the name, and the token: HF_TOKEN, or the file that `hf auth login` writes"),
            (401, _) => Error::new(format!("`{name}` is not there, or gated or private (401)"))
                .hint(format!("check the name; for a gated or private one give a token in HF_TOKEN ({page})")),
            (404, "RevisionNotFound") => {
                Error::new(format!("`{name}` has no revision `{revision}`")).hint("check `--revision`; without it, it is `main`")
            }
            (404, "RepoNotFound") => Error::new(format!("there is no repository `{name}` on {}", self.home.1)).hint("check the name"),
            (404, _) => match ask.file {
                Some(_) => ask.error("the server does not have it (404)").hint("try again: the repository may just have changed"),
                None => Error::new(format!("there is no repository `{name}` with a revision `{revision}` on {} (404)", self.home.1))
                    .hint("check the name and `--revision`"),
            },
            (416, _) => ask.error("the server does not go on where the last run stopped (416)").hint(ODD),
            (429, _) => ask.error("the server wants fewer requests (429)").hint("wait a while; a token in HF_TOKEN may do more"),
            (500.., _) => {
                return Trouble::Unreachable(ask.error(&format!("{} is in trouble ({status})", host(uri))).hint("try again later"));
            }
            _ => ask.error(&format!("{} answers with status {status}", host(uri))).hint(ODD),
        };
        Trouble::Other(error)
    }

    fn broken(&self, e: &std::io::Error) -> Trouble {
        Trouble::Unreachable(Error::new(format!("the connection to {} broke off ({e})", self.home.1)).hint("run it again"))
    }
}

impl Ask<'_> {
    /// An error about the file, or the repository.
    pub fn error(&self, what: &str) -> Error {
        match self.file {
            Some(file) => Error::new(format!("`{}`: {file}: {what}", self.name)),
            None => Error::new(format!("`{}`: {what}", self.name)),
        }
    }
}

fn host(uri: &Uri) -> &str {
    uri.host().unwrap_or("the server")
}

/// A server that does not answer.
fn unreachable(uri: &Uri, e: &ureq::Error) -> Trouble {
    let at = match uri.port_u16() {
        Some(port) => format!("{}:{port}", host(uri)),
        None => host(uri).to_owned(),
    };
    let why = match e {
        ureq::Error::HostNotFound => "there is no such host".to_owned(),
        ureq::Error::Timeout(_) => "it does not answer".to_owned(),
        ureq::Error::Io(e) => e.to_string(),
        other => other.to_string(),
    };
    Trouble::Unreachable(
        Error::new(format!("cannot reach {at}: {why}"))
            .hint("check the network, and HF_ENDPOINT if it is set; what is in the cache already is found without `--download`"),
    )
}

/// Where an answer sends on to: none if it does not, some none if it does not say where.
fn location(response: &Response<Body>) -> Option<Option<String>> {
    matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308).then(|| text(response.headers(), "location"))
}

/// An address as another one's answer gives it.
fn resolve(from: &Uri, to: &str) -> Option<Uri> {
    let authority = from.authority()?;
    let scheme = from.scheme_str()?;
    match to {
        _ if to.starts_with("//") => format!("{scheme}:{to}"),
        _ if to.starts_with('/') => format!("{scheme}://{authority}{to}"),
        _ => to.to_owned(),
    }
    .parse::<Uri>()
    .ok()
    .filter(|uri| matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some())
}

/// First byte and whole length of `bytes 3-9/10`.
fn parts(range: &str) -> Option<(u64, Option<u64>)> {
    let (span, whole) = range.trim().strip_prefix("bytes ")?.split_once('/')?;
    let (first, _) = span.split_once('-')?;
    Some((first.trim().parse().ok()?, whole.trim().parse().ok()))
}

fn text(headers: &HeaderMap, key: &str) -> Option<String> {
    Some(headers.get(key)?.to_str().ok()?.trim().to_owned())
}

fn number(headers: &HeaderMap, key: &str) -> Option<u64> {
    text(headers, key)?.parse().ok()
}
