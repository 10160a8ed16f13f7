//! TER against sacreBLEU 2.6.0.

use crate::support::{cases, check, segments};
use effattn::metric::ter::{Ter, TerOptions};

#[test]
fn equals_sacrebleu_on_every_segment() {
    let (segments, cases) = (segments(), cases("ter"));
    assert_eq!(cases.len(), 16);
    for case in cases {
        let given = |name: &str| case["options"][name] == true;
        let ter = Ter::new(TerOptions {
            normalized: given("normalized"),
            no_punct: given("no_punct"),
            asian_support: given("asian_support"),
            case_sensitive: given("case_sensitive"),
        });
        check(&case, &ter, &ter, &segments, 1e-9);
    }
}
