//! A table with aligned columns, which fits a terminal.

/// The place at which a long cell is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    Never,
    /// The end goes.
    End,
    /// The beginning goes, as of paths.
    Begin,
}

/// A column with its title.
pub(super) struct Column {
    pub(super) title: &'static str,
    pub(super) cut: Cut,
    /// True if it is cut only where cutting the others does not suffice.
    pub(super) is_cut_last: bool,
}

/// The columns that a cut cell keeps.
const LEAST: usize = 9;
/// The columns between cells: as many as docker has, or fewer where cells are cut.
const GAP: usize = 3;
const NARROW_GAP: usize = 2;

/// Returns the padded cells of each row, the titles first. No row is wider than `width`, unless the columns that are not cut
/// are too wide.
pub(super) fn layout<const N: usize>(
    columns: &[Column; N],
    rows: &[[String; N]],
    width: Option<usize>,
) -> Vec<[String; N]> {
    let titles = columns.each_ref().map(|column| column.title.to_owned());
    let all = || std::iter::once(&titles).chain(rows);
    let mut widths = [0; N];
    for row in all() {
        for (widest, cell) in widths.iter_mut().zip(row) {
            *widest = (*widest).max(text_width(cell));
        }
    }
    let mut gap = GAP;
    if let Some(width) = width.filter(|width| total(&widths, GAP) > *width) {
        gap = NARROW_GAP;
        for is_cut_last in [false, true] {
            shrink(columns, is_cut_last, &mut widths, width);
        }
    }
    let line = |row: &[String; N]| {
        let mut cells = row.clone();
        for (at, cell) in cells.iter_mut().enumerate() {
            let (Some(column), Some(width)) = (columns.get(at), widths.get(at)) else {
                continue;
            };
            *cell = fitted(cell, *width, column.cut);
            if at + 1 < N {
                let padding = width.saturating_sub(text_width(cell)) + gap;
                cell.push_str(&" ".repeat(padding));
            }
        }
        cells
    };
    all().map(line).collect()
}

/// Takes columns from the widest cells, among those that are cut last or the others, until all cells fit.
fn shrink(columns: &[Column], is_cut_last: bool, widths: &mut [usize], width: usize) {
    while total(widths, NARROW_GAP) > width {
        let cells = widths.iter_mut().zip(columns);
        let may_be_cut = cells.filter(|(width, column)| {
            let least = LEAST.max(column.title.len());
            column.cut != Cut::Never && column.is_cut_last == is_cut_last && **width > least
        });
        match may_be_cut.map(|(width, _)| width).max() {
            Some(widest) => *widest -= 1,
            None => return,
        }
    }
}

fn total(widths: &[usize], gap: usize) -> usize {
    widths.iter().sum::<usize>() + gap * widths.len().saturating_sub(1)
}

/// Cuts a text to this width.
fn fitted(text: &str, width: usize, cut: Cut) -> String {
    if text_width(text) <= width {
        return text.to_owned();
    }
    let room = width.saturating_sub(1);
    let mut kept = String::new();
    let mut used = 0;
    let mut keep = |c: char| {
        used += char_width(c);
        (used <= room).then(|| kept.push(c)).is_some()
    };
    match cut {
        Cut::Begin => _ = text.chars().rev().all(&mut keep),
        Cut::Never | Cut::End => _ = text.chars().all(&mut keep),
    }
    match cut {
        Cut::Begin => std::iter::once('…').chain(kept.chars().rev()).collect(),
        Cut::Never | Cut::End => kept + "…",
    }
}

fn text_width(text: &str) -> usize {
    text.chars().map(char_width).sum()
}

/// Returns the columns that a terminal gives a character: two to those of East Asian scripts and to pictures, none to marks
/// that stand on others (UAX 11).
fn char_width(c: char) -> usize {
    match u32::from(c) {
        0x300..=0x36f | 0x200b..=0x200f | 0xfe00..=0xfe0f => 0,
        0x1100..=0x115f
        | 0x2e80..=0xa4cf
        | 0xac00..=0xd7a3
        | 0xf900..=0xfaff
        | 0xfe30..=0xfe6f
        | 0xff00..=0xff60
        | 0xffe0..=0xffe6
        | 0x1f300..=0x1faff
        | 0x20000..=0x3fffd => 2,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn column(title: &'static str, cut: Cut, is_cut_last: bool) -> Column {
        Column {
            title,
            cut,
            is_cut_last,
        }
    }

    const COLUMNS: [Column; 3] = [
        column("NAME", Cut::Never, false),
        column("DIRTY", Cut::End, true),
        column("FOLDER", Cut::Begin, false),
    ];

    fn lines(rows: &[[&str; 3]], width: Option<usize>) -> Vec<String> {
        let rows: Vec<[String; 3]> = rows.iter().map(|row| row.map(str::to_owned)).collect();
        let rows = layout(&COLUMNS, &rows, width);
        rows.iter().map(|row| row.concat()).collect()
    }

    #[test]
    fn columns_are_aligned_whatever_their_characters() {
        let rows = [
            ["app", "clean", "/w/app"],
            ["日本", "Dockerfile modified", "/w/日本"],
        ];
        assert_eq!(
            lines(&rows, None),
            [
                "NAME   DIRTY                 FOLDER",
                "app    clean                 /w/app",
                "日本   Dockerfile modified   /w/日本",
            ]
        );
    }

    #[test]
    fn a_terminal_cuts_the_widest_cells() {
        let rows = [[
            "a-long-name-stays",
            "Dockerfile modified",
            "/home/me/projects/app",
        ]];
        let found = lines(&rows, Some(52));
        assert_eq!(
            found[1],
            "a-long-name-stays  Dockerfile modified  …rojects/app"
        );
        let found = lines(&rows, Some(40));
        assert_eq!(found[1], "a-long-name-stays  Dockerfil…  …ects/app");
        assert!(found.iter().all(|line| text_width(line) <= 40), "{found:?}");
        // Nothing is left to be cut.
        let narrowest = lines(&rows, Some(1));
        assert_eq!(narrowest[1], "a-long-name-stays  Dockerfi…  …ects/app");
    }
}
