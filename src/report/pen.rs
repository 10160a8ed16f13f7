//! Draws with plotters' SVG backend. The backend has whole numbers only and no dashes: pictures are ten times as large inside as they
//! are shown, and what the elements of a group share stands at the group.

use super::look::{Colour, GROUND, LINE, Look, corners};
use super::text::{allowed, escape};
use crate::error::{Error, Result};
use plotters::backend::{DrawingBackend, SVGBackend};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, FontStyle, IntoTextStyle, RGBColor, ShapeStyle};
use std::fmt::Display;

/// Units of the document in a pixel.
pub const FINE: f64 = 10.0;

/// A font that every reader has.
const FONT: &str = "system-ui, sans-serif";

/// A place in pixels.
pub type Spot = (f64, f64);

/// Which point of a text stands at its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Anchor {
    /// Its left end.
    Start,
    /// Its middle.
    Middle,
    /// Its right end.
    End,
}

/// How text looks.
#[derive(Debug, Clone, Copy)]
pub struct Font {
    /// In pixels.
    pub size: f64,
    /// Whether it is bold.
    pub bold: bool,
    /// Of the letters.
    pub colour: Colour,
}

/// The elements of one group.
pub struct Pen<'a>(SVGBackend<'a>);

/// Draws a group: elements with attributes (`name="value"`, escaped) and a name that shows when somebody points at one of them.
pub fn group(attributes: &str, name: &str, draw: impl FnOnce(&mut Pen) -> Result<()>) -> Result<String> {
    let mut document = String::new();
    let mut pen = Pen(SVGBackend::with_string(&mut document, (0, 0)));
    draw(&mut pen)?;
    pen.0.present().map_err(failed)?;
    drop(pen);
    let elements = document.split_once('>').and_then(|(_, rest)| rest.rsplit_once("</svg>")).map_or("", |(inner, _)| inner.trim());
    let elements = elements.replace(" opacity=\"1\"", "").replace(" \"/>", "\"/>").replace(" stroke=\"none\" stroke-width=\"0\"", "");
    let title = if name.is_empty() { String::new() } else { format!("<title>{}</title>", escape(name)) };
    let space = if attributes.is_empty() { "" } else { " " };
    Ok(format!("<g{space}{attributes}>{title}\n{elements}\n</g>\n"))
}

impl Pen<'_> {
    /// A line through all places.
    pub fn line(&mut self, spots: &[Spot], colour: Colour, width: f64) -> Result<()> {
        self.0.draw_path(spots.iter().map(fine), &shape(colour, width)).map_err(failed)
    }

    /// Text, vertically centred on its place.
    pub fn text(&mut self, text: &str, at: Spot, anchor: Anchor, font: Font) -> Result<()> {
        let across = match anchor {
            Anchor::Start => HPos::Left,
            Anchor::Middle => HPos::Center,
            Anchor::End => HPos::Right,
        };
        let weight = if font.bold { FontStyle::Bold } else { FontStyle::Normal };
        // the backend divides by this, and rounds before: sizes are multiples of 2.5
        let size = font.size * FINE * 1.24;
        let colour = rgb(font.colour);
        let style = (FONT, size, weight).into_text_style(&(0, 0)).color(&colour).pos(Pos::new(across, VPos::Center));
        let text: String = text.chars().map(allowed).collect();
        self.0.draw_text(&text, &style, fine(&at)).map_err(failed)
    }

    /// The marker of a series, with a rim that keeps it apart from what it covers.
    pub fn marker(&mut self, at: Spot, look: Look) -> Result<()> {
        let (inside, rim, width) = if look.filled { (look.colour, GROUND, 1.0) } else { (GROUND, look.colour, 1.5) };
        match (look.shape, corners(look.shape)) {
            (0, _) => {
                let radius = |r: f64| (r * FINE).round() as u32;
                self.0.draw_circle(fine(&at), radius(4.2), &shape(rim, 0.0).filled(), true).map_err(failed)?;
                let r = if look.filled { 3.7 } else { 2.7 };
                self.0.draw_circle(fine(&at), radius(r), &shape(inside, 0.0).filled(), true).map_err(failed)
            }
            (5, _) => self.cross(at, look),
            (_, corners) => {
                let mut path: Vec<Spot> = corners.iter().map(|c| (at.0 + c.0, at.1 + c.1)).collect();
                self.0.fill_polygon(path.iter().map(fine), &shape(inside, 0.0).filled()).map_err(failed)?;
                // twice around the first corner, so that it is mitred like the others
                path.extend_from_within(..2.min(path.len()));
                self.line(&path, rim, width)
            }
        }
    }

    /// A diagonal cross, or an upright one in place of a hollow marker.
    fn cross(&mut self, at: Spot, look: Look) -> Result<()> {
        let (a, b) = if look.filled { ((3.8, 3.8), (3.8, -3.8)) } else { ((5.0, 0.0), (0.0, 5.0)) };
        for (colour, width, more) in [(GROUND, 4.4, 1.15), (look.colour, 2.2, 1.0)] {
            for (dx, dy) in [a, b] {
                let end = |sign: f64| (at.0 + sign * dx * more, at.1 + sign * dy * more);
                self.line(&[end(-1.0), end(1.0)], colour, width)?;
            }
        }
        Ok(())
    }

    /// A fine line of a frame.
    pub fn rule(&mut self, from: Spot, to: Spot) -> Result<()> {
        self.line(&[from, to], LINE, 1.0)
    }
}

fn fine(spot: &Spot) -> (i32, i32) {
    ((spot.0 * FINE).round() as i32, (spot.1 * FINE).round() as i32)
}

fn rgb(colour: Colour) -> RGBColor {
    let [_, r, g, b] = colour.light.to_be_bytes();
    RGBColor(r, g, b)
}

fn shape(colour: Colour, width: f64) -> ShapeStyle {
    rgb(colour).stroke_width((width * FINE).round() as u32)
}

fn failed(e: impl Display) -> Error {
    Error::new(format!("cannot draw: {e}"))
}
