//! Contact sheets: rows of images under labelled columns, such as LR, HR, before and after at the same seeds.

use super::canvas::{Canvas, Color, Letters};
use super::resize::{Filter, resize};
use super::{Image, decode::MAX_MEGAPIXELS};
use crate::{Error, Result};

/// The ground of the sheet.
pub const BACKGROUND: Color = [0.953, 0.957, 0.965];
/// Its titles and labels.
pub const INK: Color = [0.110, 0.130, 0.165];
/// Its notes and captions.
pub const MUTED: Color = [0.320, 0.345, 0.395];
/// Its hairlines.
pub const LINE: Color = [0.815, 0.830, 0.855];

const MARGIN_PX: usize = 32;
const GAP_PX: usize = 16;
const TITLE_PX: f32 = 30.0;
const NOTE_PX: f32 = 17.0;
const COLUMN_PX: f32 = 20.0;
const CAPTION_PX: f32 = 16.0;
const ROW_LABEL_MAX_PX: usize = 180;
/// Line height over font size.
const LEADING: f32 = 1.4;

/// A contact sheet; [`Sheet::render`] draws it.
#[derive(Clone, Debug, Default)]
pub struct Sheet {
    /// The large line at the top; empty for none.
    pub title: String,
    /// Smaller lines under the title, e.g. settings and results.
    pub notes: Vec<String>,
    /// One label above each column; empty ones stay blank.
    pub columns: Vec<String>,
    /// The rows, from top to bottom.
    pub rows: Vec<Row>,
    /// The square each image is fitted into, in pixels.
    pub cell_px: usize,
}

/// One row of a sheet.
#[derive(Clone, Debug, Default)]
pub struct Row {
    /// Name at the left; no space is taken where no row has one.
    pub label: String,
    /// From left to right; `None` leaves a blank place.
    pub cells: Vec<Option<Cell>>,
}

/// One image of a sheet.
#[derive(Clone, Debug)]
pub struct Cell {
    /// What is shown, of any size.
    pub image: Image,
    /// A line under the image, e.g. its reward; empty for none.
    pub caption: String,
    /// How a small image is enlarged: [`Filter::Nearest`] shows an LR image's pixels. Large ones shrink by area.
    pub enlarge: Filter,
}

impl Cell {
    /// An image without a caption, enlarged bicubically where it is small.
    pub fn new(image: Image) -> Self {
        Self { image, caption: String::new(), enlarge: Filter::Bicubic }
    }

    /// With a line under the image.
    pub fn caption(mut self, caption: impl Into<String>) -> Self {
        self.caption = caption.into();
        self
    }

    /// With another way to enlarge.
    pub fn enlarge(mut self, filter: Filter) -> Self {
        self.enlarge = filter;
        self
    }

    /// The size the image takes inside a square of `cell_px`.
    fn fitted_size(&self, cell_px: usize) -> (usize, usize) {
        let (width, height) = (self.image.width(), self.image.height());
        let scale = cell_px as f64 / width.max(height) as f64;
        let side = |length: usize| ((length as f64 * scale).round() as usize).clamp(1, cell_px);
        (side(width), side(height))
    }

    fn fitted(&self, cell_px: usize) -> Result<Image> {
        let (width, height) = self.fitted_size(cell_px);
        let filter = if width < self.image.width() { Filter::Area } else { self.enlarge };
        resize(&self.image, width, height, filter)
    }
}

/// Where things go.
struct Layout {
    width: usize,
    height: usize,
    /// Left edge of the first column.
    left: usize,
    /// Baseline of the column labels and top of the first row.
    column_baseline: f32,
    rows_top: usize,
    caption_height: usize,
    /// Height of each row's images.
    row_heights: Vec<usize>,
}

impl Sheet {
    /// Draws the sheet. Fails without rows or cells, with a cell size of 0, or where the picture would be larger than
    /// what [`super::decode`] reads.
    pub fn render(&self) -> Result<Image> {
        let letters = Letters::new()?;
        let layout = self.layout(&letters)?;
        let mut canvas = Canvas::new(layout.width, layout.height, BACKGROUND, letters.clone());
        self.draw_header(&mut canvas, &letters, &layout);
        let mut y = layout.rows_top;
        for (row, &height) in self.rows.iter().zip(&layout.row_heights) {
            let label_width = layout.left.saturating_sub(MARGIN_PX + GAP_PX) as f32;
            let label = letters.fit(&row.label, CAPTION_PX, label_width);
            canvas.text(MARGIN_PX as f32, y as f32 + CAPTION_PX, &label, CAPTION_PX, INK);
            for (column, cell) in row.cells.iter().enumerate() {
                if let Some(cell) = cell {
                    self.draw_cell(&mut canvas, &letters, self.column_x(&layout, column), y, height, cell)?;
                }
            }
            y += height + layout.caption_height + GAP_PX;
        }
        canvas.into_image()
    }

    fn column_count(&self) -> usize {
        self.rows.iter().map(|row| row.cells.len()).max().unwrap_or(0).max(self.columns.len())
    }

    fn column_x(&self, layout: &Layout, column: usize) -> usize {
        layout.left + column * (self.cell_px + GAP_PX)
    }

    fn layout(&self, letters: &Letters) -> Result<Layout> {
        let columns = self.column_count();
        if self.rows.is_empty() || columns == 0 || self.cell_px == 0 {
            return Err(Error::invalid("a contact sheet needs rows, columns and a cell size"));
        }
        let has_captions = self.rows.iter().flat_map(|r| &r.cells).flatten().any(|c| !c.caption.is_empty());
        let caption_height = if has_captions { (CAPTION_PX * LEADING) as usize + 4 } else { 0 };
        let label_width = self.rows.iter().map(|r| letters.width(&r.label, CAPTION_PX)).fold(0.0, f32::max);
        let label_width = match (label_width.ceil() as usize).min(ROW_LABEL_MAX_PX) {
            0 => 0,
            width => width + GAP_PX,
        };
        let mut y = MARGIN_PX as f32;
        if !self.title.is_empty() {
            y += TITLE_PX * LEADING;
        }
        y += self.notes.len() as f32 * NOTE_PX * LEADING;
        if !self.title.is_empty() || !self.notes.is_empty() {
            y += 2.0 * GAP_PX as f32;
        }
        let column_baseline = y + COLUMN_PX;
        if self.columns.iter().any(|label| !label.is_empty()) {
            y += COLUMN_PX * LEADING + 6.0;
        }
        let rows_top = y.ceil() as usize;
        let row_heights: Vec<usize> = self
            .rows
            .iter()
            .map(|row| row.cells.iter().flatten().map(|c| c.fitted_size(self.cell_px).1).max())
            .map(|height| height.unwrap_or(CAPTION_PX as usize * 2))
            .collect();
        let left = MARGIN_PX + label_width;
        let width = left + columns * (self.cell_px + GAP_PX) - GAP_PX + MARGIN_PX;
        let rows_height = row_heights.iter().map(|h| h + caption_height + GAP_PX).sum::<usize>();
        let height = rows_top + rows_height - GAP_PX + MARGIN_PX;
        if width as u64 * height as u64 > MAX_MEGAPIXELS * 1_000_000 {
            return Err(Error::invalid(format!(
                "a contact sheet of {width}×{height} px is over the limit of {MAX_MEGAPIXELS} megapixels"
            )));
        }
        Ok(Layout { width, height, left, column_baseline, rows_top, caption_height, row_heights })
    }

    fn draw_header(&self, canvas: &mut Canvas, letters: &Letters, layout: &Layout) {
        let room = (layout.width - 2 * MARGIN_PX) as f32;
        let left = MARGIN_PX as f32;
        let mut y = left;
        if !self.title.is_empty() {
            canvas.text(left, y + TITLE_PX * 0.8, &letters.fit(&self.title, TITLE_PX, room), TITLE_PX, INK);
            y += TITLE_PX * LEADING;
        }
        for note in &self.notes {
            canvas.text(left, y + NOTE_PX, &letters.fit(note, NOTE_PX, room), NOTE_PX, MUTED);
            y += NOTE_PX * LEADING;
        }
        if !self.title.is_empty() || !self.notes.is_empty() {
            canvas.fill(MARGIN_PX, y as usize + GAP_PX, room as usize, 1, LINE);
        }
        for (column, label) in self.columns.iter().enumerate() {
            let label = letters.fit(label, COLUMN_PX, self.cell_px as f32);
            canvas.text(self.column_x(layout, column) as f32, layout.column_baseline, &label, COLUMN_PX, INK);
        }
    }

    /// An image, centred in its square and on its row, with a hairline around it and its caption below.
    fn draw_cell(
        &self,
        canvas: &mut Canvas,
        letters: &Letters,
        x: usize,
        y: usize,
        row_height: usize,
        cell: &Cell,
    ) -> Result<()> {
        let image = cell.fitted(self.cell_px)?;
        let (left, top) = (x + (self.cell_px - image.width()) / 2, y + (row_height - image.height()) / 2);
        canvas.fill(left - 1, top - 1, image.width() + 2, image.height() + 2, LINE);
        canvas.image(left, top, &image);
        let caption = letters.fit(&cell.caption, CAPTION_PX, self.cell_px as f32);
        let baseline = (y + row_height) as f32 + CAPTION_PX * LEADING * 0.8 + 2.0;
        canvas.text(x as f32, baseline, &caption, CAPTION_PX, MUTED);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gray(width: usize, height: usize, value: f32) -> Image {
        Image::new(width, height, vec![value; 3 * width * height]).unwrap()
    }

    fn sheet() -> Sheet {
        let row = |label: &str| Row {
            label: label.into(),
            cells: vec![
                Some(Cell::new(gray(8, 8, 0.5)).enlarge(Filter::Nearest)),
                None,
                Some(Cell::new(gray(200, 100, 0.25)).caption("R 0.531")),
            ],
        };
        Sheet {
            title: "Before and after".into(),
            notes: vec!["seed 7".into()],
            columns: vec!["LR".into(), "HR".into(), "after".into()],
            rows: vec![row("one"), row("a row label that is much too long to be shown in full")],
            cell_px: 64,
        }
    }

    #[test]
    fn images_arrive_unchanged_in_their_places() {
        let sheet = sheet();
        let layout = sheet.layout(&Letters::new().unwrap()).unwrap();
        let image = sheet.render().unwrap();
        let at = |x: usize, y: usize| image.plane(0)[y * image.width() + x];
        let y = layout.rows_top + 32;
        assert_eq!(at(sheet.column_x(&layout, 0) + 32, y), 0.5);
        assert_eq!(at(sheet.column_x(&layout, 1) + 32, y), BACKGROUND[0]);
        assert_eq!(at(sheet.column_x(&layout, 2) + 32, y), 0.25);
        assert_eq!(at(0, 0), BACKGROUND[0]);
        // The caption is there: something darker than the background under the third image.
        let below = (layout.rows_top + 66..layout.rows_top + 82)
            .flat_map(|y| (0..64).map(move |x| (x, y)))
            .any(|(x, y)| at(sheet.column_x(&layout, 2) + x, y) < 0.8);
        assert!(below);
    }

    #[test]
    fn impossible_sheets_are_errors() {
        assert!(Sheet::default().render().is_err());
        assert!(Sheet { cell_px: 0, ..sheet() }.render().is_err());
        assert!(Sheet { cell_px: 100_000, ..sheet() }.render().unwrap_err().to_string().contains("megapixels"));
        let bare =
            Sheet { rows: vec![Row { label: String::new(), cells: vec![None] }], cell_px: 10, ..Sheet::default() };
        assert!(bare.render().is_ok());
    }
}
