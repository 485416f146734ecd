//! Files, cut into pieces where a word ends.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
};

use anyhow::{Context, bail, ensure};

use crate::WordCountRequest;

/// The bytes of a piece: enough that a call costs nothing beside the counting, and few enough that
/// several servers share even a small file.
const PIECE: usize = 256 * 1024;

/// The longest piece, if words are long. Three times this fits into a request of 4 MiB, which is
/// what it can come to where every byte is replaced.
const LONGEST: usize = 1024 * 1024;

/// Whether these files are there, before any work is begun.
pub(crate) fn check(files: &[PathBuf]) -> anyhow::Result<()> {
    for file in files.iter().filter(|file| !is_stdin(file)) {
        let about =
            fs::metadata(file).with_context(|| format!("cannot read {}", file.display()))?;
        ensure!(!about.is_dir(), "{} is a directory", file.display());
    }
    Ok(())
}

fn is_stdin(file: &Path) -> bool {
    file.as_os_str() == "-"
}

/// A part of a file.
pub(crate) struct Piece {
    /// Its length in the file.
    pub(crate) bytes: usize,
    pub(crate) request: WordCountRequest,
}

/// The pieces of a file, read as they are asked for: never more than one is in memory here.
pub(crate) struct Pieces {
    name: String,
    reader: Box<dyn Read>,
    /// What has been read of the next piece: the beginning of a word.
    rest: Vec<u8>,
    /// Where in the file `rest` begins.
    offset: u64,
    /// Whether something was no UTF-8, which is told once.
    replaced: bool,
}

impl Pieces {
    /// The pieces of this file, or of standard input.
    pub(crate) fn of(file: &Path) -> anyhow::Result<Self> {
        let name = file.display().to_string();
        let reader: Box<dyn Read> = if is_stdin(file) {
            Box::new(io::stdin())
        } else {
            Box::new(File::open(file).with_context(|| format!("cannot open {name}"))?)
        };
        Ok(Pieces { name, reader, rest: Vec::new(), offset: 0, replaced: false })
    }

    /// The next piece; `None` at the file's end.
    pub(crate) fn next(&mut self) -> anyhow::Result<Option<Piece>> {
        let mut piece = std::mem::take(&mut self.rest);
        let (mut searched, mut full) = (piece.len(), PIECE);
        let end = loop {
            let room = (full - piece.len()) as u64;
            let read = self.reader.by_ref().take(room).read_to_end(&mut piece);
            read.with_context(|| format!("cannot read {}", self.name))?;
            if piece.len() < full {
                break piece.len();
            }
            // Cutting here is cutting between characters: in UTF-8 no part of a longer one is ASCII.
            let space = piece[searched..].iter().rposition(u8::is_ascii_whitespace);
            if let Some(space) = space {
                break searched + space + 1;
            }
            if full >= LONGEST {
                bail!(
                    "{} is not text: no white space in the {LONGEST} bytes from {}",
                    self.name,
                    self.offset
                );
            }
            (searched, full) = (full, full + PIECE);
        };
        if let Some(nul) = piece.iter().position(|byte| *byte == 0) {
            bail!("{} is not text: byte {} is zero", self.name, self.offset + nul as u64);
        }
        self.rest = piece.split_off(end);
        self.offset += end as u64;
        let request = WordCountRequest { input: self.text(piece) };
        Ok((end > 0).then_some(Piece { bytes: end, request }))
    }

    fn text(&mut self, piece: Vec<u8>) -> String {
        String::from_utf8(piece).unwrap_or_else(|error| {
            if !self.replaced {
                eprintln!(
                    "{} is not all UTF-8: what is not is counted as {}",
                    self.name,
                    char::REPLACEMENT_CHARACTER
                );
                self.replaced = true;
            }
            String::from_utf8_lossy(error.as_bytes()).into_owned()
        })
    }
}
