//! The generated parts of the documentation are what this build would generate (`just generate` writes them).

use effattn::cli::{ListArgs, ListFormat};
use std::path::Path;

const BEGIN: &str = "<!-- generated: effattn list -f markdown -->\n";
const END: &str = "<!-- end of the generated part -->";

fn generated() -> String {
    let mut out = Vec::new();
    effattn::command::list::run(&ListArgs { format: ListFormat::Markdown }, &mut out).expect("a list prints");
    String::from_utf8(out).expect("it is text")
}

/// The file with its generated part replaced.
fn renewed(text: &str) -> String {
    let (before, rest) = text.split_once(BEGIN).expect("the begin mark");
    let (_, after) = rest.split_once(END).expect("the end mark");
    format!("{before}{BEGIN}\n{}\n{END}{after}", generated())
}

#[test]
fn pages_are_fresh() {
    for page in ["docs/variants.md", "README.md"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(page);
        let text = std::fs::read_to_string(&path).expect("the page exists");
        let fresh = renewed(&text);
        if std::env::var_os("EFFATTN_WRITE_DOCS").is_some() {
            std::fs::write(&path, fresh).expect("the page can be written");
        } else {
            assert!(text == fresh, "{page} is stale: run `just generate`");
        }
    }
}

/// Links between pages lead somewhere.
#[test]
fn links_lead_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for page in [
        "README.md",
        "docs/architecture.md",
        "docs/variants.md",
        "docs/adding-a-variant.md",
        "docs/benchmarking.md",
        "docs/notation.md",
        "docs/formats.md",
        "docs/metrics.md",
        "fixtures/README.md",
        "models/led-small/README.md",
    ] {
        let path = root.join(page);
        let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{page}: {e}"));
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = link.split('#').next().unwrap_or_default();
            if file.is_empty() || file.contains("://") {
                continue;
            }
            let target = path.parent().expect("a page lies in a folder").join(file);
            assert!(target.exists(), "{page} links to {link}, which is not there");
        }
    }
}
