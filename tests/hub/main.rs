//! Models by name: the cache as huggingface_hub lays it out, and what is fetched from servers, good and bad.

mod cache;
#[cfg(feature = "hub")]
mod fetching;
#[cfg(feature = "hub")]
mod lies;
mod server;
#[cfg(feature = "hub")]
mod sums;

use server::Ran;

const INSPECT: [&str; 3] = ["inspect", "-m", "org/tiny"];

fn fine(ran: &Ran) {
    assert_eq!(ran.code, Some(0), "{ran:?}");
}
