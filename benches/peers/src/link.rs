//! A process's side of its talk with the driver.

use std::io::{BufRead, Write, stdin, stdout};

use anyhow::Result;

/// Says a line to the driver.
pub fn say(line: &str) -> Result<()> {
    let mut stdout = stdout().lock();
    writeln!(stdout, "{line}")?;
    Ok(stdout.flush()?)
}

/// Waits for a line of the driver, or for its end; `false` if it has ended.
pub fn listen() -> Result<bool> {
    Ok(stdin().lock().read_line(&mut String::new())? > 0)
}
