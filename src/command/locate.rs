//! Where the model of `-m` is: one way for all commands.

use super::bar::Bar;
use crate::cli::HubArgs;
use crate::error::{Error, Result};
use crate::hub::{self, Env, Found, Request};
use crate::output::say;
use std::cell::RefCell;
use std::path::Path;

/// Finds what `-m` names, if it names something; `weights`: whether config.json is not enough.
pub fn locate(model: Option<&Path>, hub: &HubArgs, weights: bool, quiet: bool) -> Result<Option<Found>> {
    let Some(model) = model else { return nameless(hub).map(|()| None) };
    let request = Request { model, revision: hub.revision.as_deref(), download: hub.download, weights };
    hub::find(&request, &Env::new(), &Lines { quiet, bar: RefCell::default() }).map(Some)
}

/// Refuses what is about names where there is none.
pub fn nameless(hub: &HubArgs) -> Result<()> {
    match hub.download || hub.revision.is_some() {
        true => Err(Error::usage("`--download` and `--revision` are for a model that is named").hint("name it with `--model org/name`")),
        false => Ok(()),
    }
}

/// A bar for each file, on a terminal.
struct Lines {
    quiet: bool,
    bar: RefCell<Option<Bar>>,
}

impl hub::Watch for Lines {
    fn begin(&self, file: &str, bytes: Option<u64>) {
        let template = match bytes {
            Some(_) => "{bar:30} {percent:>3} %  {msg}, {bytes} of {total_bytes}, {bytes_per_sec}, {eta} to go",
            None => "{spinner} {msg}, {bytes}, {bytes_per_sec}",
        };
        let bar = Bar::new(!self.quiet, bytes, template);
        bar.say(file.to_owned());
        *self.bar.borrow_mut() = Some(bar);
    }

    fn reach(&self, bytes: u64) {
        if let Some(bar) = &*self.bar.borrow() {
            bar.reach(bytes);
        }
    }

    fn note(&self, line: &str) {
        self.bar.take();
        if !self.quiet {
            say(line);
        }
    }
}
