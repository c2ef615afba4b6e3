//! What is wrong with a configuration: where it was said, which key, and why it cannot be.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

/// Where a setting was said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The built-in defaults, at this line.
    Default(usize),
    /// A file, at this line; line 0 is the whole file.
    File(Arc<Path>, usize),
    /// An environment variable.
    Variable(String),
    /// A flag of the command line.
    Flag(String),
}

impl Origin {
    /// The folder that a relative path said here is relative to.
    pub(crate) fn folder(&self) -> PathBuf {
        match self {
            Self::File(path, _) => path.parent().map(Path::to_owned).unwrap_or_default(),
            Self::Default(_) | Self::Variable(_) | Self::Flag(_) => PathBuf::new(),
        }
    }

    fn order(&self) -> (u8, usize) {
        match self {
            Self::File(_, line) => (0, *line),
            Self::Variable(_) => (1, 0),
            Self::Flag(_) => (2, 0),
            Self::Default(line) => (3, *line),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default(line) => write!(formatter, "built-in haetae.toml:{line}"),
            Self::File(path, 0) => write!(formatter, "{}", path.display()),
            Self::File(path, line) => write!(formatter, "{}:{line}", path.display()),
            Self::Variable(name) => write!(formatter, "environment variable {name}"),
            Self::Flag(name) => write!(formatter, "flag {name}"),
        }
    }
}

/// One thing that is wrong, or worth a warning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Where it was said.
    pub origin: Origin,
    /// The key, `gateway.routes[3].path`; empty when the file itself cannot be read.
    pub key: String,
    /// Why it cannot be, and what would do.
    pub reason: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.key.is_empty() {
            return write!(formatter, "{}: {}", self.origin, self.reason);
        }
        write!(formatter, "{}: {}: {}", self.origin, self.key, self.reason)
    }
}

/// Everything that is wrong with a configuration, in the order of its files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistakes(Vec<Mistake>);

impl Mistakes {
    pub(crate) fn new(mut mistakes: Vec<Mistake>) -> Self {
        mistakes.sort_by_key(|mistake| mistake.origin.order());
        Self(mistakes)
    }

    /// The mistakes, at least one.
    pub fn as_slice(&self) -> &[Mistake] {
        &self.0
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, mistake) in self.0.iter().enumerate() {
            let line_break = if index == 0 { "" } else { "\n" };
            write!(formatter, "{line_break}{mistake}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Mistakes {}
