//! The command line. Written by hand: it is short, and the examples depend on little.

use std::{ffi::OsString, path::PathBuf};

pub(crate) const HELP: &str = "\
Counts words on one or several servers.

Usage: wordcount [--servers N | --connect ADDR ...]                      a sentence
       wordcount [--servers N | --connect ADDR ...] [--top N] FILE ...   files
       wordcount --serve ADDR                                            be a server

  FILE            a text file; `-` is standard input
  --servers N     start N servers in this process (default 1)
  --connect ADDR  use the server at this address; may be repeated
  --top N         print the N most frequent words (default 10), or `all`
  --serve ADDR    serve others at this address until Ctrl-C; port 0 takes a free one
  --help          print this

Results go to standard output, everything else to standard error.
";

/// More would be of no use, and a mistake more likely than not.
const MOST_SERVERS: usize = 256;

#[derive(Debug)]
pub(crate) enum Command {
    Help,
    Serve(String),
    Sentence(Where),
    Files { files: Vec<PathBuf>, servers: Where, top: usize },
}

/// Where the servers are.
#[derive(Debug)]
pub(crate) enum Where {
    /// In this process; this many.
    Start(usize),
    /// At these addresses.
    Connect(Vec<String>),
}

impl Command {
    /// What the arguments ask for, or what is wrong with them.
    pub(crate) fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Self, String> {
        let mut given = Given::default();
        let mut only_files = false;
        let mut args = args.into_iter();
        while let Some(arg) = args.next() {
            let text = arg.to_string_lossy();
            if only_files || text == "-" || !text.starts_with('-') {
                given.files.push(PathBuf::from(arg));
                continue;
            }
            // `--top=3` or `--top 3`
            let (option, value) = match text.split_once('=') {
                Some((option, value)) => (option, Some(value.to_owned())),
                None => (&*text, None),
            };
            let value = || {
                let next = || args.next().map(|value| value.to_string_lossy().into_owned());
                value.or_else(next).ok_or_else(|| format!("{option} needs a value"))
            };
            match option {
                "-h" | "--help" => return Ok(Command::Help),
                "--" => only_files = true,
                "--servers" => given.servers = Some(servers(&value()?)?),
                "--connect" => given.connect.push(value()?),
                "--top" => given.top = Some(top(&value()?)?),
                "--serve" => given.serve = Some(value()?),
                _ => return Err(format!("there is no option {option}")),
            }
        }
        given.command()
    }
}

/// The options and files given.
#[derive(Default)]
struct Given {
    servers: Option<usize>,
    connect: Vec<String>,
    top: Option<usize>,
    serve: Option<String>,
    files: Vec<PathBuf>,
}

impl Given {
    /// The command they make together.
    fn command(self) -> Result<Command, String> {
        let Given { servers, connect, top, serve, files } = self;
        if let Some(addr) = serve {
            let alone =
                servers.is_none() && connect.is_empty() && top.is_none() && files.is_empty();
            return alone.then_some(Command::Serve(addr)).ok_or("--serve stands alone".into());
        }
        let servers = match servers {
            Some(_) if !connect.is_empty() => {
                return Err("--servers and --connect exclude each other".into());
            }
            None if !connect.is_empty() => Where::Connect(connect),
            servers => Where::Start(servers.unwrap_or(1)),
        };
        match top {
            Some(_) if files.is_empty() => Err("--top is for files, and none is named".into()),
            None if files.is_empty() => Ok(Command::Sentence(servers)),
            top => Ok(Command::Files { files, servers, top: top.unwrap_or(10) }),
        }
    }
}

fn servers(value: &str) -> Result<usize, String> {
    match value.parse() {
        Ok(number) if (1..=MOST_SERVERS).contains(&number) => Ok(number),
        _ => Err(format!("--servers takes a number from 1 to {MOST_SERVERS}, not `{value}`")),
    }
}

/// How many words to print.
fn top(value: &str) -> Result<usize, String> {
    match value.parse() {
        _ if value == "all" => Ok(usize::MAX),
        Ok(number) if number > 0 => Ok(number),
        _ => Err(format!("--top takes a number from 1 on, or `all`, not `{value}`")),
    }
}
