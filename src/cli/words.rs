//! The words of the command line, and their flags. The parser, the help, the manual page and the completion of shells are
//! made from this table. A new word needs a row here, its reading in `line.rs`, its deed in `src/words`, and a row in
//! `docs/cli.md`.

use super::flags::{FLAGS, Flag, LISTEN, variable_of};

/// A word of the command line, which is a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word {
    Serve,
    Ls,
    Recreate,
    Start,
    Stop,
    Rm,
    Cancel,
    Logs,
    Watch,
    Wait,
    Exec,
    Check,
    Healthcheck,
    Completions,
    Help,
}

/// The description of a word.
pub(super) struct Entry {
    pub(super) word: Word,
    pub(super) name: &'static str,
    pub(super) operands: Operands,
    /// The meaning in a few words.
    pub(super) summary: &'static str,
    /// The meaning in sentences.
    pub(super) about: &'static str,
    pub(super) flags: &'static [&'static WordFlag],
    /// Command lines, with their meaning.
    pub(super) examples: &'static [(&'static str, &'static str)],
}

/// The arguments of a word that are no flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operands {
    None,
    /// A dev container.
    Name,
    /// A dev container, or nothing for all of them.
    OptionalName,
    /// A dev container, and a program with its arguments.
    Command,
    /// One of [`SHELLS`].
    Shell,
    /// A word, or nothing.
    OptionalWord,
}

/// A flag of one or more words.
#[derive(Debug)]
pub(super) struct WordFlag {
    /// The name without dashes.
    pub(super) name: &'static str,
    pub(super) short: Option<char>,
    /// The placeholder of its value. It is empty for a flag without one.
    pub(super) value: &'static str,
    /// True if it is also an environment variable.
    pub(super) is_variable: bool,
    pub(super) help: &'static str,
}

/// The shells that can be taught to complete a command line.
pub(super) const SHELLS: [&str; 3] = ["bash", "zsh", "fish"];

const fn switch(name: &'static str, short: Option<char>, help: &'static str) -> WordFlag {
    WordFlag {
        name,
        short,
        value: "",
        is_variable: false,
        help,
    }
}

const fn variable(name: &'static str, value: &'static str, help: &'static str) -> WordFlag {
    WordFlag {
        name,
        short: None,
        value,
        is_variable: true,
        help,
    }
}

pub(super) const URL: WordFlag = variable(
    "url",
    "URL",
    "address of the daemon, http://ADDRESS:PORT or unix:/path; by default those of DEVCONTAINERD_LISTEN, else the socket of your session or of a system service for you, if there is one, else http://127.0.0.1:3382",
);
pub(super) const TOKEN: WordFlag =
    variable("token-file", "FILE", "file with the token of the daemon");
pub(super) const DOCKER: WordFlag = variable(
    "docker",
    "PATH",
    "docker or podman; by default the first of them on PATH",
);
pub(super) const JSON: WordFlag = switch("json", None, "print JSON, as the API has it");
pub(super) const QUIET: WordFlag = switch("quiet", Some('q'), "print names only");
pub(super) const ALL: WordFlag = switch(
    "all",
    None,
    "act on all containers of the dev container, not only on the one shown",
);
pub(super) const FOLLOW: WordFlag = switch(
    "follow",
    Some('f'),
    "follow the log until the operation ends; the exit status is then that of the operation",
);
pub(super) const CLEAN: WordFlag = switch(
    "clean",
    None,
    "its container matches the configuration, and everything was compared",
);
pub(super) const RUNNING: WordFlag = switch("running", None, "its container runs and can be used");
pub(super) const IDLE: WordFlag = switch(
    "idle",
    None,
    "no operation is running or queued; the default",
);
pub(super) const TIMEOUT: WordFlag = WordFlag {
    name: "timeout",
    short: None,
    value: "SECS",
    is_variable: false,
    help: "fail after this time; by default it waits for as long as it takes",
};
pub(super) const INTERACTIVE: WordFlag = switch(
    "interactive",
    Some('i'),
    "pass standard input on to the command",
);
pub(super) const TTY: WordFlag = switch("tty", Some('t'), "give the command a terminal");
pub(super) const MAN: WordFlag = switch("man", None, "print the manual page, for man -l -");

const FOLLOWED: &str = "It follows the log, and its exit status is that of the operation. The operation belongs to the \
    daemon: it goes on if this command is interrupted.";

pub(super) const WORDS: &[Entry] = &[
    Entry {
        word: Word::Serve,
        name: "serve",
        operands: Operands::None,
        summary: "run the daemon; the word may be left out",
        about: "Runs the daemon in the foreground. Each flag is also an environment variable: --cache-duration is \
            DEVCONTAINERD_CACHE_DURATION. A flag takes precedence over its variable. The variable of a repeatable flag \
            separates values by commas, that of --up-arg by spaces. TERM and INT stop the daemon, HUP makes it read the \
            manifest and the token again.",
        flags: &[],
        examples: &[(
            "devcontainerd --listen unix:$XDG_RUNTIME_DIR/devcontainerd.sock",
            "listen on a unix socket only",
        )],
    },
    Entry {
        word: Word::Ls,
        name: "ls",
        operands: Operands::None,
        summary: "list dev containers",
        about: "Prints a table of the dev containers: their status, what has changed since the container was made, \
            container, ports and folder. In a terminal, the table is cut to its width; in a pipe, nothing is cut.",
        flags: &[&JSON, &QUIET],
        examples: &[
            ("devcontainerd ls", "what is there, and what is dirty"),
            (
                "devcontainerd ls --json | jq -r '.devcontainers[] | select(.dirty).name'",
                "the dirty ones, for a script",
            ),
        ],
    },
    Entry {
        word: Word::Recreate,
        name: "recreate",
        operands: Operands::Name,
        summary: "replace its container by a new one",
        about: FOLLOWED,
        flags: &[],
        examples: &[(
            "devcontainerd recreate .",
            "recreate the dev container of this folder",
        )],
    },
    Entry {
        word: Word::Start,
        name: "start",
        operands: Operands::Name,
        summary: "start its container, or make one",
        about: FOLLOWED,
        flags: &[],
        examples: &[("devcontainerd start ~/app", "start the one in ~/app")],
    },
    Entry {
        word: Word::Stop,
        name: "stop",
        operands: Operands::Name,
        summary: "stop its container",
        about: FOLLOWED,
        flags: &[&ALL],
        examples: &[("devcontainerd stop app", "stop the one called app")],
    },
    Entry {
        word: Word::Rm,
        name: "rm",
        operands: Operands::Name,
        summary: "stop and remove its container, keep its volumes",
        about: FOLLOWED,
        flags: &[&ALL],
        examples: &[("devcontainerd rm app", "remove its container")],
    },
    Entry {
        word: Word::Cancel,
        name: "cancel",
        operands: Operands::Name,
        summary: "cancel its operation, and wait for the end of that",
        about: "Ends the operation that runs, or is queued, for the dev container. The exit status is 3 if there is none.",
        flags: &[],
        examples: &[("devcontainerd cancel app", "end what is being done to app")],
    },
    Entry {
        word: Word::Logs,
        name: "logs",
        operands: Operands::Name,
        summary: "print the log of its running or last operation",
        about: "Prints the log of the operation that is queued or runs, or of the last one. Logs are kept in the memory of \
            the daemon: the exit status is 3 if there was no operation since it started.",
        flags: &[&FOLLOW],
        examples: &[(
            "devcontainerd logs -f app",
            "follow what is being done to app",
        )],
    },
    Entry {
        word: Word::Watch,
        name: "watch",
        operands: Operands::OptionalName,
        summary: "print changes when they happen",
        about: "Prints a line for each dev container, and then one for each change, until it is interrupted. It waits for \
            a daemon that is restarted.",
        flags: &[&JSON],
        examples: &[("devcontainerd watch", "see what happens")],
    },
    Entry {
        word: Word::Wait,
        name: "wait",
        operands: Operands::Name,
        summary: "wait until it is idle, running or clean",
        about: "Waits until all of the given conditions hold at once. It waits for a daemon that is restarted. The exit \
            status is 1 when the time is over.",
        flags: &[&IDLE, &RUNNING, &CLEAN, &TIMEOUT],
        examples: &[(
            "devcontainerd wait app --running --timeout 60",
            "give app a minute to run",
        )],
    },
    Entry {
        word: Word::Exec,
        name: "exec",
        operands: Operands::Command,
        summary: "run a command in its container",
        about: "Becomes docker exec, as the remote user and in the workspace folder of the dev container. The docker of \
            this machine must lead to the engine that the daemon uses. Variables of remoteEnv and those of a login shell \
            are not set; devcontainer exec sets them.",
        flags: &[&INTERACTIVE, &TTY, &DOCKER],
        examples: &[
            (
                "devcontainerd exec -it . -- bash",
                "a shell in the container of this folder",
            ),
            ("devcontainerd exec app -- make test", "run its tests"),
        ],
    },
    Entry {
        word: Word::Check,
        name: "check",
        operands: Operands::None,
        summary: "say what is there, and what is wrong, before a start",
        about: "Reads flags, variables and manifest as serve does, and looks for everything that the daemon needs. Prints a \
            line for each thing, with the mend of what is wrong. It takes the flags of serve, starts nothing that stays, and \
            changes nothing. The exit status is 1 if something is wrong.",
        flags: &[],
        examples: &[(
            "devcontainerd check",
            "would a daemon find all that it needs?",
        )],
    },
    Entry {
        word: Word::Healthcheck,
        name: "healthcheck",
        operands: Operands::None,
        summary: "exit with 0 if the daemon answers",
        about: "Requests /healthz, or the path of the URL, and waits at most 3 s. It is for images without curl.",
        flags: &[],
        examples: &[(
            "devcontainerd healthcheck --url http://127.0.0.1:3382/readyz",
            "is everything there that it needs?",
        )],
    },
    Entry {
        word: Word::Completions,
        name: "completions",
        operands: Operands::Shell,
        summary: "print what makes bash, zsh or fish complete",
        about: "Prints code that makes the shell complete words, flags and the names of dev containers.",
        flags: &[],
        examples: &[(
            "source <(devcontainerd completions bash)",
            "complete in this shell; also in ~/.bashrc",
        )],
    },
    Entry {
        word: Word::Help,
        name: "help",
        operands: Operands::OptionalWord,
        summary: "explain a word, or print the manual page",
        about: "Prints the help of a word, as WORD --help does.",
        flags: &[&MAN],
        examples: &[("devcontainerd help --man | man -l -", "the manual page")],
    },
];

/// The exit statuses of words, with their meanings.
pub(super) const STATUSES: [(&str, &str); 6] = [
    ("0", "done"),
    (
        "1",
        "failed: the operation, the daemon, or the time of --timeout",
    ),
    ("2", "a command line that cannot be used"),
    (
        "3",
        "nothing there: no such dev container, container, operation or log",
    ),
    ("4", "the operation was cancelled"),
    ("130", "interrupted while an operation goes on"),
];

/// The meaning of NAME, for the help.
pub(super) const NAMES: &str = "NAME is a name or an id, a folder with a slash in its path, or . for the dev container of \
    the folder one stands in or of the nearest folder above it.";

impl Entry {
    /// Returns the entry of a word.
    pub(super) fn named(name: &str) -> Option<&'static Self> {
        WORDS.iter().find(|entry| entry.name == name)
    }

    /// Returns whether the word asks a running daemon.
    pub(super) fn asks_daemon(&self) -> bool {
        !self.configures_daemon() && !matches!(self.word, Word::Completions | Word::Help)
    }

    /// Returns whether the word takes the flags of the daemon.
    pub(super) fn configures_daemon(&self) -> bool {
        matches!(self.word, Word::Serve | Word::Check)
    }

    /// Returns all flags, those that name the daemon last.
    pub(super) fn all_flags(&self) -> impl Iterator<Item = &'static WordFlag> {
        let common: &[&WordFlag] = if self.asks_daemon() {
            &[&URL, &TOKEN]
        } else {
            &[]
        };
        self.flags.iter().chain(common).copied()
    }

    /// Returns the names of all flags that it takes, also those of the daemon.
    pub(super) fn flag_names(&self) -> impl Iterator<Item = &'static str> {
        let daemon: &[Flag] = match self.word {
            Word::Serve | Word::Check => FLAGS,
            // The address of the daemon in the same image.
            Word::Healthcheck => std::slice::from_ref(&LISTEN),
            _ => &[],
        };
        let own = self.all_flags().map(|flag| flag.name);
        own.chain(daemon.iter().map(|flag| flag.name))
    }

    /// Returns the word with the placeholders of its operands.
    pub(super) fn usage(&self) -> String {
        self.usage_with("")
    }

    /// Returns the word with this text after it, and the placeholders of its operands.
    pub(super) fn usage_with(&self, flags: &str) -> String {
        let operands = match self.operands {
            Operands::None => "",
            Operands::Name => " NAME|FOLDER",
            Operands::OptionalName => " [NAME|FOLDER]",
            Operands::Command => " NAME|FOLDER -- COMMAND...",
            Operands::Shell => " bash|zsh|fish",
            Operands::OptionalWord => " [WORD]",
        };
        format!("{}{flags}{operands}", self.name)
    }
}

impl WordFlag {
    /// Returns the flag with its short form and the placeholder of its value.
    pub(super) fn usage(&self) -> String {
        let short = self.short.map(|short| format!("-{short}, "));
        let value = if self.value.is_empty() { "" } else { " " };
        let short = short.unwrap_or_default();
        format!("{short}--{}{value}{}", self.name, self.value)
    }

    /// Returns the name of the environment variable.
    pub(super) fn variable(&self) -> String {
        variable_of(self.name)
    }
}

/// Returns the flag of any word that has this name.
pub(super) fn flag_named(name: &str) -> Option<&'static WordFlag> {
    let mut flags = WORDS.iter().flat_map(Entry::all_flags);
    flags.find(|flag| flag.name == name)
}

/// Returns the entry of the word that may be left out.
pub(super) fn serve() -> &'static Entry {
    const SERVE: &Entry = match WORDS {
        [first, ..] => first,
        [] => unreachable!(),
    };
    SERVE
}
