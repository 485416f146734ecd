//! Tables for a terminal or in Markdown.

use std::fmt::Write;

/// A table whose first column names its rows.
#[derive(Debug, Clone, Default)]
pub struct Table {
    pub title: String,
    pub header: Vec<String>,
    pub rows: Vec<Vec<String>>,
}

impl Table {
    /// In columns.
    pub fn text(&self) -> String {
        let widths = self.widths();
        let mut out = format!("{}\n", self.title);
        for row in std::iter::once(&self.header).chain(&self.rows) {
            let mut line = String::from(" ");
            for (nth, (cell, width)) in row.iter().zip(&widths).enumerate() {
                let pad = " ".repeat(width - cell.chars().count());
                let (left, right) = if nth == 0 { ("", pad.as_str()) } else { (pad.as_str(), "") };
                let _ = write!(line, " {left}{cell}{right} ");
            }
            out.push_str(line.trim_end());
            out.push('\n');
        }
        out
    }

    pub fn markdown(&self) -> String {
        let mut out = format!("{}\n\n", self.title);
        let rule = std::iter::once("|---|").chain(self.header.iter().skip(1).map(|_| "--:|"));
        let rule: String = rule.collect();
        let lines = self.rows.iter().map(|row| format!("| {} |", row.join(" | ")));
        let _ = writeln!(out, "| {} |\n{rule}", self.header.join(" | "));
        for line in lines {
            let _ = writeln!(out, "{line}");
        }
        out
    }

    fn widths(&self) -> Vec<usize> {
        let mut widths = vec![0; self.header.len()];
        for row in std::iter::once(&self.header).chain(&self.rows) {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        widths
    }
}
