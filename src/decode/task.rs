//! What config.json says of summarising, apart from other tasks: `task_specific_params.summarization`.
//!
//! transformers 4 reads it in its summarization pipeline (`Pipeline.__init__`, 4.57.6): `prefix` goes before every document, the rest updates
//! the generation settings. transformers 5 has neither the pipeline nor the key. Other tasks are not read.

use super::resolve::unknown_to_tasks;
use crate::error::{Error, Result};
use serde_json::{Map, Value};

/// How errors and notes call it.
pub const PLACE: &str = "config.json, task_specific_params.summarization";

/// Keys of a task that are no settings.
pub(super) const OWN: &[&str] = &["prefix"];
const TASKS: &str = "task_specific_params";

/// The parameters of the task.
#[derive(Debug, Clone, Copy)]
pub struct Task<'a> {
    /// All of them, `prefix` too.
    pub keys: &'a Map<String, Value>,
}

impl<'a> Task<'a> {
    /// Summarisation's, if config.json has them; none for a model that has no encoder, which no such pipeline took. Fails where the
    /// key is no object.
    pub fn summarization(config: &'a Value, encoder_decoder: bool) -> Result<Option<Self>> {
        if !encoder_decoder {
            return Ok(None);
        }
        let object =
            |value: &'a Value, name: &str| match value {
                Value::Null => Ok(None),
                Value::Object(keys) => Ok(Some(keys)),
                other => Err(Error::new(format!("config.json: `{name}` must be an object, not `{other}`"))
                    .hint("mend it, or remove it from the file")),
            };
        let Some(tasks) = object(&config["task_specific_params"], "task_specific_params")? else { return Ok(None) };
        let own = tasks.get("summarization").map_or(Ok(None), |own| object(own, "task_specific_params.summarization"))?;
        Ok(own.map(|keys| Self { keys }))
    }

    /// Text before every document.
    pub fn prefix(&self) -> Result<Option<&'a str>> {
        match self.keys.get("prefix") {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(prefix)) => Ok(Some(prefix)),
            Some(other) => {
                Err(Error::new(format!("{PLACE}: `prefix` must be text, not `{other}`")).hint("mend it, or remove it from the file"))
            }
        }
    }
}

/// The keys below `task_specific_params` that nobody reads, with their places: other tasks, and what means nothing to this one. All of it for a model that has
/// no encoder, or where it is no object.
pub fn unread(config: &Value, encoder_decoder: bool) -> Vec<String> {
    let tasks = match &config[TASKS] {
        Value::Null => return Vec::new(),
        Value::Object(tasks) if encoder_decoder => tasks,
        _ => return vec![TASKS.to_owned()],
    };
    let below = |(task, keys): (&String, &Value)| match keys.as_object().filter(|_| task == "summarization") {
        Some(keys) => unknown_to_tasks(keys).into_iter().map(|key| format!("{TASKS}.{task}.{key}")).collect(),
        None => vec![format!("{TASKS}.{task}")],
    };
    tasks.iter().flat_map(below).collect()
}

/// What goes before every document: what was asked for, else what config.json says. No text is none.
pub fn source_prefix(asked: Option<&str>, task: Option<&Task>) -> Result<Option<String>> {
    let prefix = match asked {
        Some(asked) => Some(asked),
        None => task.map(Task::prefix).transpose()?.flatten(),
    };
    Ok(prefix.filter(|p| !p.is_empty()).map(str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::super::{Generation, Overrides};
    use super::*;
    use serde_json::json;

    fn prefix(asked: Option<&str>, config: &Value, encoder: bool) -> Option<String> {
        source_prefix(asked, Task::summarization(config, encoder).unwrap().as_ref()).unwrap()
    }

    #[test]
    fn the_prefix_is_the_users_else_the_tasks() {
        let t5 = json!({"task_specific_params": {"summarization": {"prefix": "summarize: "}, "translation_en_to_de": {"prefix": "translate: "}}});
        assert_eq!(prefix(None, &t5, true).as_deref(), Some("summarize: "));
        assert_eq!(prefix(Some("sum: "), &t5, true).as_deref(), Some("sum: "));
        assert_eq!(prefix(Some(""), &t5, true), None);
        assert_eq!(prefix(None, &t5, false), None);
        let gpt2 = json!({"task_specific_params": {"text-generation": {"do_sample": true, "prefix": "x"}}});
        for config in
            [gpt2, json!({}), json!({"task_specific_params": null}), json!({"task_specific_params": {"summarization": {"prefix": null}}})]
        {
            assert_eq!(prefix(None, &config, true), None, "{config}");
        }
        for bad in [json!({"task_specific_params": 3}), json!({"task_specific_params": {"summarization": "x"}})] {
            assert!(Task::summarization(&bad, true).unwrap_err().message().contains("must be an object"), "{bad}");
        }
        let bad = json!({"task_specific_params": {"summarization": {"prefix": 3}}});
        let task = Task::summarization(&bad, true).unwrap().unwrap();
        assert!(task.prefix().unwrap_err().message().ends_with("`prefix` must be text, not `3`"));
    }

    #[test]
    fn settings_go_from_the_nearest_to_the_farthest() {
        let config = json!({"num_beams": 2, "length_penalty": 3.0, "max_length": 9,
            "task_specific_params": {"summarization": {"num_beams": 4, "max_length": 142, "min_length": 56, "early_stopping": true, "prefix": "s: "}}});
        let task = Task::summarization(&config, true).unwrap();
        let resolve =
            |file: Option<&Value>, overrides: &Overrides| Generation::resolve_for(task.as_ref(), file, &config, overrides).unwrap();
        let none = Overrides::default();
        // no generation_config.json: the task's before config.json's own
        let g = resolve(None, &none);
        assert_eq!((g.num_beams, g.length_penalty, g.max_length, g.min_length), (4, 3.0, 142, 56));
        assert_eq!(g.early_stopping, super::super::EarlyStopping::True);
        let note = format!("{PLACE}: max_length, num_beams, early_stopping, min_length");
        assert_eq!(g.notes, [note.as_str()]);
        // generation_config.json's before the task's, and what it leaves out, or calls null, from there
        let file = json!({"num_beams": 5, "max_length": null, "eos_token_id": 2});
        let g = resolve(Some(&file), &none);
        assert_eq!((g.num_beams, g.length_penalty, g.max_length, g.min_length), (5, 1.0, 142, 56));
        // a length of one kind hides the farther one of the other
        let g = resolve(Some(&json!({"max_new_tokens": 30, "min_new_tokens": 3})), &none);
        assert_eq!((g.max_new_tokens, g.min_new_tokens, g.min_length), (Some(30), Some(3), 0));
        assert!(g.default_length);
        // the command line's before all
        let g = resolve(Some(&file), &Overrides { num_beams: Some(1), max_length: Some(60), ..none.clone() });
        assert_eq!((g.num_beams, g.max_length), (1, 60));
        // and nothing of it where nobody asks for the task
        let g = Generation::resolve(Some(&file), &config, &none).unwrap();
        assert_eq!((g.max_length, g.min_length, g.notes.len()), (20, 0, 0));
    }

    #[test]
    fn keys_that_mean_nothing_are_told() {
        let keys = json!({"num_beams": 2, "lenght_penalty": 2.0, "prefix": "s: ", "use_cache": true, "guidance_scale": null, "chunk": 3});
        let config = json!({"task_specific_params": {"summarization": keys, "translation_en_to_de": {"prefix": "t: "}}});
        let task = Task::summarization(&config, true).unwrap();
        let notes = |file: Option<&Value>| Generation::resolve_for(task.as_ref(), file, &config, &Overrides::default()).unwrap().notes;
        let told = format!("`{PLACE}`: unknown keys without effect: `lenght_penalty`, `chunk`");
        let read = format!("{PLACE}: num_beams");
        assert_eq!(notes(None), [read.as_str(), &told]);
        let file = json!({"num_beams": 3, "prefix": "of a task alone"});
        assert_eq!(notes(Some(&file)), ["`generation_config.json`: unknown keys without effect: `prefix`", &told]);
        // what `inspect` lists
        let below = |words: &[&str]| words.iter().map(|w| format!("task_specific_params{w}")).collect::<Vec<_>>();
        assert_eq!(unread(&config, true), below(&[".summarization.lenght_penalty", ".summarization.chunk", ".translation_en_to_de"]));
        assert_eq!(unread(&config, false), below(&[""]));
        assert_eq!(unread(&json!({"task_specific_params": {"summarization": 3}}), true), below(&[".summarization"]));
        assert_eq!(unread(&json!({"task_specific_params": 3}), true), below(&[""]));
        assert_eq!(unread(&json!({"task_specific_params": null}), true), below(&[]));
        // the model starts as the files say
        let config = json!({"task_specific_params": {"summarization": {"decoder_start_token_id": 5, "a\nb": 1}}});
        let notes = |task: Option<&Task>| Generation::resolve_for(task, None, &config, &Overrides::default()).unwrap().notes;
        let told = format!("`{PLACE}`: unknown keys without effect: `decoder_start_token_id`, `a\\nb`");
        assert_eq!(notes(Task::summarization(&config, true).unwrap().as_ref()), [told]);
    }

    #[test]
    fn what_cannot_be_names_its_place() {
        let resolve = |task: Value| {
            let config = json!({"task_specific_params": {"summarization": task}});
            let task = Task::summarization(&config, true).unwrap();
            Generation::resolve_for(task.as_ref(), Some(&json!({})), &config, &Overrides::default()).unwrap_err()
        };
        assert_eq!(
            resolve(json!({"num_beams": "many"})).message(),
            format!("`{PLACE}`: `num_beams` must be a whole number from 0 on, not `\"many\"`")
        );
        let none = resolve(json!({"num_beams": 0}));
        assert_eq!(none.message(), format!("`{PLACE}`: `num_beams` must lie between 1 and 65536, not 0"));
        assert_eq!(none.remedy(), Some("mend it in the file, or say it with `--num-beams`"));
        assert!(
            resolve(json!({"num_beam_groups": 2})).message().starts_with(&format!("`{PLACE}`: `num_beam_groups` = `2` changes the output"))
        );
    }
}
