use super::*;
use crate::kernel::testing::noise;
use crate::weights::Store;

const D: usize = 12;

/// A vocabulary of 23 tokens in clusters from 9 and 16 on, with made-up tensors: input and output.
fn made(div: usize, d_embed: usize, order: ClusterOrder, tied: bool) -> (AdaptiveEmbedding, AdaptiveSoftmax) {
    let tie_projections = vec![false, tied, tied];
    let adaptive = Adaptive { ends: vec![9, 16, 23], d: D, d_embed, div, tie_tables: tied, tie_projections, order };
    let root = std::sync::Arc::new(Store::random(5)).root();
    adaptive.load(&root.pp("word_emb"), &root.pp("crit")).unwrap()
}

/// Probabilities from the logits of the parts, in f64, number by number.
#[test]
fn probabilities_are_their_definition_and_add_up() {
    let n = 5;
    let x = noise(n * D, 3);
    for (div, d_embed, order, tied) in [
        (1, D, ClusterOrder::Hf, true),
        (1, 10, ClusterOrder::Hf, false),
        (2, D, ClusterOrder::Kimiyoung, true),
        (3, 9, ClusterOrder::Hf, false),
    ] {
        let (_, softmax) = made(div, d_embed, order, tied);
        let got = softmax.forward(&tensor(x.clone(), (1, n, D)).unwrap()).unwrap().squeeze(0).unwrap().to_vec2::<f32>().unwrap();
        for (row, x) in got.iter().zip(x.chunks(D)) {
            let sum: f64 = row.iter().map(|l| f64::from(*l).exp()).sum();
            assert!((sum - 1.0).abs() < 1e-6, "{sum}");
            let part = |i: usize| -> Vec<f64> {
                let tail = &softmax.tails[i];
                let x = tail.projection.as_ref().map_or_else(|| x.to_vec(), |p| p.apply(x));
                tail.table.apply(&x).into_iter().map(f64::from).collect()
            };
            let first = softmax.tails[0].projection.as_ref().map_or_else(|| x.to_vec(), |p| p.apply(x));
            let slots = softmax.slots.as_ref().unwrap().apply(&first);
            let head: f64 = part(0).iter().chain(&slots.iter().map(|x| f64::from(*x)).collect::<Vec<_>>()).map(|x| x.exp()).sum();
            for t in 0..23 {
                let i = [9, 16, 23].iter().position(|end| t < *end).unwrap();
                let want = match (i, order) {
                    (0, _) => part(0)[t].exp() / head,
                    (i, order) => {
                        let slot = if order == ClusterOrder::Hf { i - 1 } else { 2 - i };
                        let tail = part(i);
                        f64::from(slots[slot]).exp() / head * tail[t - [0, 9, 16][i]].exp() / tail.iter().map(|x| x.exp()).sum::<f64>()
                    }
                };
                assert!((f64::from(row[t]) - want.ln()).abs() < 1e-5, "{div} {d_embed}, token {t}: {} {}", row[t], want.ln());
            }
        }
    }
}

/// A tied table's product with a token's own row is the row's norm: input and output read the same numbers.
#[test]
fn tables_are_shared_where_they_are_tied() {
    let (input, softmax) = made(1, D, ClusterOrder::Hf, true);
    for t in [0u32, 8, 9, 15, 16, 22] {
        let x = input.forward(&[t]).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let tail = softmax.tails.iter().find(|p| p.tokens.contains(&(t as usize))).unwrap();
        let product = tail.table.apply(&x)[t as usize - tail.tokens.start];
        let norm = x.iter().map(|x| x * x).sum::<f32>() / (D as f32).sqrt();
        assert!((product - norm).abs() < 1e-4, "{t}: {product} {norm}");
    }
}

#[test]
fn cuts_and_sizes_without_sense_are_refused() {
    let fails = |ends: &[usize], d_embed, div| {
        let adaptive =
            Adaptive { ends: ends.to_vec(), d: D, d_embed, div, tie_tables: true, tie_projections: vec![], order: ClusterOrder::Hf };
        adaptive.check().is_err()
    };
    assert!(fails(&[9, 9, 20], 8, 1) && fails(&[0, 20], 8, 1) && fails(&[30, 20], 8, 1));
    assert!(fails(&[9, 16, 23], 8, 3) && fails(&[9, 23], 8, 0) && fails(&[9, 23], 8, usize::MAX) && fails(&[9, 16, 23], 8, usize::MAX));
    assert!(!fails(&[23], 8, usize::MAX) && !fails(&[9, 16, 23], 8, 2));
}
