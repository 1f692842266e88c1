//! Bounds of a scan.

use super::*;
use crate::model::inputs::MAX_INPUTS;

#[test]
fn a_file_of_100_mb_is_compared_by_content() {
    let dir = TestDir::new();
    dir.write(CONFIG, r#"{"dockerFile":"D"}"#);
    let write = |last: u8| {
        use std::io::Write;
        let path = dir.path().join("w/.devcontainer/D");
        let mut file = std::fs::File::create(path).unwrap();
        for _ in 0..100 {
            file.write_all(&[b'x'; 1 << 20]).unwrap();
        }
        file.write_all(&[last]).unwrap();
    };
    write(1);
    let one = scan_dir(&dir, None).unwrap();
    write(2);
    let two = scan_dir(&dir, Some(&one)).unwrap();
    write(1);
    let three = scan_dir(&dir, Some(&two)).unwrap();
    assert_ne!(contents(&one), contents(&two));
    assert_eq!(contents(&one), contents(&three));
}

#[test]
fn a_configuration_that_is_too_large_names_nothing() {
    let dir = TestDir::new();
    let large = |end: &str| {
        format!(
            "{{\"dockerFile\":\"D\"}}{}{end}",
            " ".repeat(crate::devcontainer::config::file::MAX_CONFIG as usize)
        )
    };
    dir.write(CONFIG, &large("a"));
    let inputs = scan_dir(&dir, None).unwrap();
    assert_eq!(names(&inputs), ["", "devcontainer-lock.json"]);
    dir.write(CONFIG, &large("b"));
    assert_ne!(contents(&scan_dir(&dir, None).unwrap()), contents(&inputs));
    dir.write(CONFIG, &large("a"));
    assert_eq!(contents(&scan_dir(&dir, None).unwrap()), contents(&inputs));
}

#[test]
fn the_files_of_a_feature_are_bounded_and_counted_in_order() {
    let dir = TestDir::new();
    dir.write(CONFIG, r#"{"features":{"./f":{}}}"#);
    let feature = dir.path().join("w/.devcontainer/f");
    std::fs::create_dir(&feature).unwrap();
    // Beside the configuration, the lock file, and the directory.
    for number in 0..MAX_INPUTS - 3 {
        std::fs::write(feature.join(format!("{number:04}")), "").unwrap();
    }
    let full = scan_dir(&dir, None).unwrap();
    assert!(!full.extent().is_truncated);
    assert_eq!(names(&full).len(), MAX_INPUTS);
    for more in ["aaa", "bbb"] {
        std::fs::write(feature.join(more), "").unwrap();
    }
    let over = scan_dir(&dir, None).unwrap();
    assert!(over.extent().is_truncated);
    assert_eq!(names(&over), names(&full));
    assert_eq!(full.extent().unchecked.text(), None);
    let unchecked = over.extent().unchecked.text().unwrap();
    assert!(unchecked.contains("more than 1000 files"), "{unchecked}");
    for number in 0..20_000 {
        std::fs::write(feature.join(format!("z{number}")), "").unwrap();
    }
    assert_eq!(names(&scan_dir(&dir, None).unwrap()), names(&full));
}

#[test]
fn references_are_bounded() {
    let dir = TestDir::new();
    let begun = Instant::now();
    let files: Vec<String> = (0..60_000).map(|number| number.to_string()).collect();
    let config = serde_json::json!({ "dockerComposeFile": files });
    dir.write(CONFIG, &config.to_string());
    let inputs = scan_dir(&dir, None).unwrap();
    assert!(inputs.extent().is_truncated && names(&inputs).len() < 110);
    let features: std::collections::BTreeMap<String, u8> =
        files.iter().map(|file| (format!("./{file}"), 0)).collect();
    dir.write(
        CONFIG,
        &serde_json::json!({ "features": features }).to_string(),
    );
    let inputs = scan_dir(&dir, None).unwrap();
    assert!(inputs.extent().is_truncated);
    assert_eq!(names(&inputs).len(), MAX_INPUTS);
    // Each is read again by another name.
    dir.write("w/.devcontainer/c/c", &"services: #".repeat(20_000));
    for number in 0..100 {
        let link = dir.path().join(format!("w/.devcontainer/l{number}"));
        std::os::unix::fs::symlink("c", link).unwrap();
    }
    let files: Vec<String> = (0..100).map(|number| format!("l{number}/c")).collect();
    dir.write(
        CONFIG,
        &serde_json::json!({ "dockerComposeFile": files }).to_string(),
    );
    assert!(scan_dir(&dir, None).unwrap().extent().is_truncated);
    assert!(
        begun.elapsed() < Duration::from_secs(30),
        "{:?}",
        begun.elapsed()
    );
}

#[test]
fn endless_files_are_not_read_forever() {
    let dir = TestDir::new();
    let begun = Instant::now();
    for endless in ["/proc/self/pagemap", "/proc/self/mem"] {
        let config = serde_json::json!({ "dockerFile": endless });
        dir.write(CONFIG, &config.to_string());
        let inputs = scan_dir(&dir, None).unwrap();
        assert_eq!(names(&inputs)[2], endless);
    }
    assert!(
        begun.elapsed() < Duration::from_secs(2),
        "{:?}",
        begun.elapsed()
    );
}

#[test]
fn of_too_many_bytes_the_large_files_are_compared_by_size_and_time() {
    let dir = TestDir::new();
    dir.write(CONFIG, r#"{"features":{"./f":{}}}"#);
    dir.write("w/.devcontainer/f/small", "1");
    let large = dir.write("w/.devcontainer/f/large", "");
    let large = std::fs::File::options().write(true).open(large).unwrap();
    large.set_len(1 << 30).unwrap();
    let begun = Instant::now();
    let one = scan_dir(&dir, None).unwrap();
    assert!(
        begun.elapsed() < Duration::from_secs(1),
        "{:?}",
        begun.elapsed()
    );
    dir.write("w/.devcontainer/f/small", "2");
    let two = scan_dir(&dir, Some(&one)).unwrap();
    let differing = || {
        contents(&one)
            .into_iter()
            .zip(contents(&two))
            .filter(|(a, b)| a != b)
    };
    assert_eq!(differing().count(), 1, "the small one");
    large.set_len(1 << 20).unwrap();
    let by_content = scan_dir(&dir, Some(&two)).unwrap();
    assert_eq!(
        contents(&by_content),
        contents(&scan_dir(&dir, None).unwrap())
    );
}
