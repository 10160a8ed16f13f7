//! Pickles that mean harm, and files that were damaged: one error each, soon, with little memory, and nothing run.

use effattn::convert::bytes::Bytes;
use effattn::convert::gin::Gin;
use effattn::convert::pickle::{self, Values};
use effattn::error::Result;
use std::io::{Read, Write};
use std::path::Path;
use std::time::{Duration, Instant};

/// Bytes that these pickles may unpack to.
const LIMIT: u64 = 16 << 20;

fn read(bytes: &[u8]) -> Result<Values> {
    pickle::read(&mut Bytes::of("a.pkl", bytes, LIMIT))
}

fn refused(bytes: &[u8], told: &str) {
    let begun = Instant::now();
    let error = read(bytes).expect_err(told);
    assert!(error.message().contains(told), "no `{told}` in `{error}`");
    assert!(begun.elapsed() < Duration::from_secs(1), "{told}: takes too long");
}

/// The pickle of a case, unpacked.
fn fixture(name: &str) -> Vec<u8> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/convert").join(name);
    if let Ok(plain) = std::fs::read(dir.join("model.pkl")) {
        return plain;
    }
    let mut out = Vec::new();
    let file = std::fs::File::open(dir.join("model.pkl.gz")).expect("the fixture");
    flate2::read::GzDecoder::new(file).read_to_end(&mut out).expect("a gzip file");
    out
}

#[test]
fn names_are_refused_and_nothing_is_run() {
    refused(b"cos\nsystem\n(S'touch harm'\ntR.", "asks for `os.system`");
    refused(b"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x04true\x85R.", "asks for `posix.system`");
    refused(b"cbuiltins\neval\n(V1\ntR.", "asks for `builtins.eval`");
    refused(b"cnumpy\nload\n.", "asks for `numpy.load`");
    refused(b"cbuiltins\nget\x1battr\n.", "asks for `builtins.get?attr`");
    refused(b"(S'x'\nios\nsystem\n.", "instances of classes");
    refused(b"Pid\n.", "outside of it");
    refused(b"\x82\x01.", "registry of extensions");
}

#[test]
fn machines_that_are_misused() {
    refused(b"", "ends in the middle");
    refused(b"h\x07.", "recalls value 7");
    refused(b"g99\n.", "recalls value 99");
    refused(b".", "a value is asked for");
    refused(b"N(.", "a value is asked for");
    refused(b"t.", "a mark is asked for");
    refused(b"(Nd.", "a key and no value");
    refused(b"NNa.", "values are added to none");
    refused(b"NNR.", "it calls none");
    refused(b"\x80\x06N.", "protocol 6");
    refused(b"\xff.", "no opcode 0xff");
    refused(b"\x8e\xff\xff\xff\xff\xff\xff\xff\xff.", "more than");
    refused(b"B\xff\xff\xef\x00.", "ends in the middle");
    refused(&[&vec![b'N'; 3_000_000][..], b"."].concat(), "more values than any checkpoint");
    refused(&[&vec![b'('; 3_000_000][..], b"."].concat(), "grows without end");
}

#[test]
fn nesting_ends_neither_the_stack_nor_the_memory() {
    let root = |bytes: &[u8]| {
        let values = read(bytes).expect("it is a pickle");
        values.leaves(values.root().expect("a value")).expect_err("it is nested").message().to_owned()
    };
    // tuples in tuples
    assert!(root(&[b")".as_slice(), &vec![0x85; 400_000], b"."].concat()).contains("nested too deep"));
    // ten times itself, ten times over
    let mut laughs = b")q\x00".to_vec();
    for i in 0..12u8 {
        laughs.push(b'(');
        (0..10).for_each(|_| laughs.extend([b'h', i]));
        laughs.extend([b't', b'q', i + 1]);
    }
    laughs.push(b'.');
    let begun = Instant::now();
    assert!(root(&laughs).contains("nested too deep"));
    assert!(begun.elapsed() < Duration::from_secs(1));
    // a list in itself
    assert!(root(b"]q\x00h\x00a.").contains("nested too deep"));
    // the same text made bytes again and again
    let mut unfolds = b"c_codecs\nencode\nq\x00X\x00\x10\x00\x00".to_vec();
    unfolds.extend(vec![b'x'; 4096]);
    unfolds.extend(b"q\x01Vlatin1\nq\x02");
    (0..10_000).for_each(|_| unfolds.extend(b"h\x00h\x01h\x02\x86R"));
    unfolds.push(b'.');
    refused(&unfolds, "the same text again and again");
}

#[test]
fn a_bomb_is_put_out() {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    packed.write_all(b"\x80\x04B\xff\xff\xff\x3f").expect("packed");
    (0..64).for_each(|_| packed.write_all(&vec![0; 1 << 20]).expect("packed"));
    refused(&packed.finish().expect("packed"), "more than");
}

#[test]
fn every_beginning_of_a_pickle_is_an_error() {
    for name in ["lm-sparse", "terraformer-reversible", "reformer-lm", "pair"] {
        let bytes = fixture(name);
        assert!(read(&bytes).is_ok(), "{name}");
        let step = 1 + bytes.len() / 2000;
        for end in (0..bytes.len()).step_by(step).chain([bytes.len() - 1]) {
            assert!(read(&bytes[..end]).is_err(), "{name}: {end} bytes of {}", bytes.len());
        }
    }
}

/// A generator that is good enough to choose bytes with.
fn next(state: &mut u64) -> usize {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*state >> 33) as usize
}

#[test]
fn damaged_pickles_and_configurations_never_panic() {
    let mut state = 1;
    for name in ["lm-sparse", "terraformer-reversible", "reformer-lm", "pair", "pair-queries"] {
        let whole = fixture(name);
        let text = std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/convert").join(name).join("config.gin"))
            .expect("the fixture");
        for _ in 0..600 {
            let mut bytes = whole.clone();
            for _ in 0..1 + next(&mut state) % 4 {
                let at = next(&mut state) % bytes.len();
                bytes[at] = next(&mut state) as u8;
            }
            let begun = Instant::now();
            if let Ok(values) = read(&bytes) {
                let _ = values.root().map(|root| values.leaves(values.key(root, "flat_weights").unwrap_or(root)));
            }
            let mut bytes = text.clone();
            let at = next(&mut state) % bytes.len();
            bytes[at] = next(&mut state) as u8;
            let _ = Gin::parse("c.gin", &String::from_utf8_lossy(&bytes))
                .and_then(|gin| effattn::convert::trax::read(&gin))
                .and_then(|model| model.leaves());
            assert!(begun.elapsed() < Duration::from_secs(1), "{name}: takes too long");
        }
    }
}
