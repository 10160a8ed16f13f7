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

/// After Okabe and Ito, darkened where a thin line on white needs it.
const SERIES: [Colour; 6] = [
    colour(0x0072B2, 0x56B4E9),
    colour(0xD55E00, 0xFF8C42),
    colour(0x00866A, 0x2FCB9A),
    colour(0xA64D8C, 0xE29AC8),
    INK,
    colour(0x8F6400, 0xE8B93A),
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

    /// Relative luminance as WCAG 2 defines it.
    fn luminance(rgb: u32) -> f64 {
        let part = |shift: u32| {
            let c = f64::from(rgb >> shift & 255) / 255.0;
            if c <= 0.04045 { c / 12.92 } else { ((c + 0.055) / 1.055).powf(2.4) }
        };
        0.2126 * part(16) + 0.7152 * part(8) + 0.0722 * part(0)
    }

    fn contrast(a: u32, b: u32) -> f64 {
        let (a, b) = (luminance(a), luminance(b));
        (a.max(b) + 0.05) / (a.min(b) + 0.05)
    }

    #[test]
    fn lines_and_text_stand_out_by_day_and_by_night() {
        assert!((contrast(0, 0xFFFFFF) - 21.0).abs() < 1e-9);
        for (least, colours) in [(3.5, &SERIES[..]), (6.0, &[INK, FAINT][..])] {
            for c in colours {
                assert!(contrast(c.light, GROUND.light) >= least && contrast(c.dark, GROUND.dark) >= least, "{c:?}");
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
