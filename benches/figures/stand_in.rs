//! Programs that this one becomes by another name or argument, so that what is measured runs in a process of its own.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;

use crate::engine;

/// The first argument with which this program is a [`Floor`].
pub(crate) const FLOOR: &str = "--floor";

/// Becomes another program if the name or the first argument says so.
pub(crate) fn become_another() -> Option<ExitCode> {
    let arguments: Vec<String> = std::env::args().collect();
    let own = Path::new(arguments.first()?);
    match (own.file_name()?.to_str()?, &arguments[1..]) {
        ("docker", arguments) => Some(docker(own, arguments)),
        ("devcontainer", arguments) => Some(ended(engine::up(arguments))),
        (_, [floor, answer]) if floor == FLOOR => Some(serve_floor(Path::new(answer))),
        _ => None,
    }
}

/// Stands in for docker with thousands of containers: it prints files of the directory above its own, as fast as it can.
fn docker(own: &Path, arguments: &[String]) -> ExitCode {
    let bin = own.parent().unwrap_or(Path::new("."));
    let root = bin.parent().unwrap_or(Path::new(".."));
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let printed = match words.as_slice() {
        ["ps", ..] => print(&root.join("ids")),
        ["inspect", "--type", "image", ids @ ..] => print_images(ids),
        ["inspect", "--type", "container", ids @ ..] | ["inspect", ids @ ..] => {
            print_containers(root, ids)
        }
        ["events", ..] => print(&root.join("events")),
        ["context", ..] => print_endpoint(),
        _ => Err(io::Error::other(format!("unexpected: {words:?}"))),
    };
    ended(printed)
}

fn ended(result: io::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("Error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn print(path: &Path) -> io::Result<()> {
    let mut file = File::open(path)?;
    let mut out = io::stdout().lock();
    let mut chunk = vec![0; 64 << 10];
    loop {
        match file.read(&mut chunk)? {
            0 => return Ok(()),
            read => out.write_all(&chunk[..read])?,
        }
        out.flush()?;
    }
}

fn print_containers(root: &Path, ids: &[&str]) -> io::Result<()> {
    let mut all = vec![b'['];
    for (index, id) in ids.iter().enumerate() {
        if index > 0 {
            all.push(b',');
        }
        all.extend(fs::read(root.join("containers").join(id))?);
    }
    all.extend_from_slice(b"]\n");
    io::stdout().lock().write_all(&all)
}

fn print_images(ids: &[&str]) -> io::Result<()> {
    let images = ids
        .iter()
        .map(|id| format!(r#"{{"Id":"{id}","Config":{{"Labels":{{}}}}}}"#));
    let all: Vec<String> = images.collect();
    writeln!(io::stdout().lock(), "[{}]", all.join(","))
}

/// Prints where the engine is, as `docker context inspect` does.
fn print_endpoint() -> io::Result<()> {
    let host = std::env::var("DOCKER_HOST").map_err(io::Error::other)?;
    writeln!(io::stdout(), "{host}")
}

/// Answers every request with the bytes of a file, a thread for each connection, as a bound of what one machine can do.
/// Prints its address first.
fn serve_floor(answer: &Path) -> ExitCode {
    let (Ok(answer), Ok(listener)) = (fs::read(answer), TcpListener::bind("127.0.0.1:0")) else {
        return ExitCode::FAILURE;
    };
    if let Ok(address) = listener.local_addr() {
        println!("{address}");
    }
    let answer: Arc<[u8]> = answer.into();
    for stream in listener.incoming().flatten() {
        let answer = answer.clone();
        thread::spawn(move || answer_all(stream, &answer));
    }
    ExitCode::SUCCESS
}

/// Answers the requests of a connection. A request is so short that it arrives in one read. One that says so is the last.
fn answer_all(mut stream: TcpStream, answer: &[u8]) {
    let _ = stream.set_nodelay(true);
    let mut request = [0; 4096];
    loop {
        match stream.read(&mut request) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Ok(read @ 1..) if stream.write_all(answer).is_ok() => {
                if request[..read]
                    .windows(17)
                    .any(|part| part == b"Connection: close")
                {
                    return;
                }
            }
            _ => return,
        }
    }
}

/// Returns the path of this program.
pub(crate) fn own_path() -> PathBuf {
    std::env::current_exe().expect("the path of this program")
}
