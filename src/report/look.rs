//! Colours, markers and dashes. Each colour comes in two: for a light ground, and for a dark one, which a page may ask for.

/// A colour on a light ground and its counterpart on a dark one, as 0xRRGGBB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Colour {
    /// In the document.
    pub light: u32,
    /// What [`night`] makes of it.
    pub dark: u32,
}

const fn colour(light: u32, dark: u32) -> Colour {
    Colour { light, dark }
}

/// Behind everything.
pub const GROUND: Colour = colour(0xFFFFFF, 0x161B22);
/// Titles and the legend.
pub const INK: Colour = colour(0x1F2328, 0xE6EDF3);
/// Labels of axes and ticks.
pub const FAINT: Colour = colour(0x57606A, 0x9DA7B3);
/// The line under a chart.
pub const LINE: Colour = colour(0x8C959F, 0x6E7681);
/// Lines across a chart.
pub const GRID: Colour = colour(0xE6E9ED, 0x2B323B);
/// Around the document.
pub const BORDER: Colour = colour(0xD0D7DE, 0x30363D);

/// Far apart for readers with every kind of colour vision, which the tests simulate; blue, orange, green, purple, ink, sky.
const SERIES: [Colour; 6] = [
    colour(0x1568DE, 0x2089FE),
    colour(0xED6504, 0xFE5403),
    colour(0x046A3E, 0x2DE28A),
    colour(0x9F187E, 0xAD6891),
    INK,
    colour(0x0B97D0, 0x28BCF5),
];

const DASHES: [&str; 6] = ["", "80 40", "20 30", "110 35 20 35", "160 40 60 40", "110 30 20 30 20 30"];

/// How a series looks. The first 72 differ in colour, marker or dashes; the first twelve even in black and white.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Look {
    /// Of line and marker.
    pub colour: Colour,
    /// For `stroke-dasharray`, in tenths of a pixel.
    pub dashes: &'static str,
    /// Width of the line in pixels.
    pub width: f64,
    /// Which marker: circle, square, triangle, diamond, triangle upside down, cross.
    pub shape: usize,
    /// Whether the marker is filled.
    pub filled: bool,
}

impl Look {
    /// Attributes of a group that holds its line.
    pub fn stroke(&self) -> String {
        let round = "stroke-linejoin=\"round\"";
        if self.dashes.is_empty() { round.to_owned() } else { format!("{round} stroke-dasharray=\"{}\"", self.dashes) }
    }
}

/// The look of series number `i`.
pub fn look(i: usize) -> Look {
    let filled = i % 12 < 6;
    Look { colour: SERIES[(i + i / 12) % 6], dashes: DASHES[i % 6], width: if filled { 2.0 } else { 1.1 }, shape: i % 6, filled }
}

/// The corners of a marker around (0, 0), about eight pixels wide; a circle and a cross have none.
pub fn corners(shape: usize) -> &'static [(f64, f64)] {
    match shape {
        1 => &[(-3.6, -3.6), (3.6, -3.6), (3.6, 3.6), (-3.6, 3.6)],
        2 => &[(0.0, -4.9), (4.7, 3.6), (-4.7, 3.6)],
        3 => &[(0.0, -5.2), (5.2, 0.0), (0.0, 5.2), (-5.2, 0.0)],
        4 => &[(0.0, 4.9), (4.7, -3.6), (-4.7, -3.6)],
        _ => &[],
    }
}

/// The rules of a style sheet that turn a picture in these colours dark.
pub fn night() -> String {
    let chrome = [GROUND, FAINT, LINE, GRID, BORDER];
    let rule = |c: &Colour| {
        let (light, dark) = (c.light, c.dark);
        format!("svg.charts [fill=\"#{light:06X}\"]{{fill:#{dark:06X}}}svg.charts [stroke=\"#{light:06X}\"]{{stroke:#{dark:06X}}}\n")
    };
    chrome.iter().chain(&SERIES).map(rule).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Linear light, red, green and blue.
    fn linear(rgb: u32) -> [f64; 3] {
        [16, 8, 0].map(|shift| {
            let c = f64::from(rgb >> shift & 255) / 255.0;
            if c <= 0.04045 { c / 12.92 } else { ((c + 0.055) / 1.055).powf(2.4) }
        })
    }

    fn times(m: [[f64; 3]; 3], v: [f64; 3]) -> [f64; 3] {
        m.map(|row| row[0] * v[0] + row[1] * v[1] + row[2] * v[2])
    }

    /// Contrast as WCAG 2 defines it.
    fn contrast(a: u32, b: u32) -> f64 {
        let [a, b] = [a, b].map(|rgb| times([[0.2126, 0.7152, 0.0722]; 3], linear(rgb))[0]);
        (a.max(b) + 0.05) / (a.min(b) + 0.05)
    }

    /// CIE 1976 L*a*b* as somebody sees it in whom this kind of cone (0 to 2: long, middle, short waves) is missing, after
    /// Viénot et al. (1999).
    fn seen(rgb: u32, missing: Option<usize>) -> [f64; 3] {
        let cones = [[17.8824, 43.5161, 4.11935], [3.45565, 27.1554, 3.86714], [0.029_956_6, 0.184_309, 1.46709]];
        let back = [
            [0.080_944_447_9, -0.130_504_409, 0.116_721_066],
            [-0.010_248_533_5, 0.054_019_326_6, -0.113_614_708],
            [-0.000_365_296_938, -0.004_121_614_69, 0.693_511_405],
        ];
        let from_others = [[0.0, 2.02344, -2.52581], [0.494_207, 0.0, 1.24827], [-0.395_913, 0.801_109, 0.0]];
        let mut lms = times(cones, linear(rgb));
        if let Some(cone) = missing {
            lms[cone] = times(from_others, lms)[cone];
        }
        let light = times(back, lms).map(|c| c.clamp(0.0, 1.0));
        let xyz = times([[0.4339, 0.3762, 0.1899], [0.2126, 0.7152, 0.0722], [0.0177, 0.1095, 0.8728]], light);
        let [x, y, z] = xyz.map(|t| if t > 0.008_856 { t.cbrt() } else { 7.787 * t + 16.0 / 116.0 });
        [116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)]
    }

    #[test]
    fn lines_and_text_stand_out_by_day_and_by_night() {
        assert!((contrast(0, 0xFFFFFF) - 21.0).abs() < 1e-9);
        for (least, colours) in [(3.0, &SERIES[..]), (6.0, &[INK, FAINT][..])] {
            for c in colours {
                assert!(contrast(c.light, GROUND.light) >= least && contrast(c.dark, GROUND.dark) >= least, "{c:?}");
            }
        }
    }

    #[test]
    fn colours_differ_whatever_cones_are_missing() {
        let far = |a, b, missing| {
            let (a, b) = (seen(a, missing), seen(b, missing));
            (0..3).map(|i| (a[i] - b[i]).powi(2)).sum::<f64>().sqrt()
        };
        assert!((seen(0xFFFFFF, None)[0] - 100.0).abs() < 0.1 && far(0xFF0000, 0x8F6400, Some(0)) < far(0xFF0000, 0x8F6400, None) / 2.0);
        for (missing, least) in [(None, 30.0), (Some(0), 30.0), (Some(1), 30.0), (Some(2), 18.0)] {
            for (i, a) in SERIES.iter().enumerate() {
                for b in &SERIES[..i] {
                    assert!(far(a.light, b.light, missing) > least, "{a:?} {b:?} {missing:?}: {}", far(a.light, b.light, missing));
                    assert!(far(a.dark, b.dark, missing) > least, "{a:?} {b:?} {missing:?}: {}", far(a.dark, b.dark, missing));
                }
            }
        }
    }

    #[test]
    fn looks_differ_without_colour_too() {
        let plain = |l: Look| (l.dashes, l.width.to_bits());
        let marker = |l: Look| (l.shape, l.filled);
        for i in 0..72 {
            for j in 0..i {
                assert_ne!(look(i), look(j), "{i} {j}");
                assert!(i >= 12 || plain(look(i)) != plain(look(j)) && marker(look(i)) != marker(look(j)), "{i} {j}");
            }
        }
    }

    #[test]
    fn night_knows_every_colour() {
        for c in [GROUND, INK, FAINT, LINE, GRID, BORDER].iter().chain(&SERIES) {
            assert!(night().contains(&format!("[fill=\"#{:06X}\"]{{fill:#{:06X}}}", c.light, c.dark)), "{c:?}");
        }
    }
}
