//! The status page in a real Chromium. But for one test, docker and the devcontainer CLI are stand-ins.

mod tab;

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use self::tab::Tab;
use crate::common::{Daemon, Sandbox, eventually};
use crate::engine::{daemon, listed};
use crate::workspace::{Workspace, container_of};

/// What Chromium itself says of answers that are errors, and of connections that fail.
const FAILED_REQUESTS: [&str; 1] = ["Failed to load resource"];
const TOKEN: &str = "correct-horse-battery-staple-0123456789";

struct Stage {
    // Ends first, as its programs live in the sandbox.
    tab: Tab,
    daemon: Daemon,
    sandbox: Sandbox,
}

impl Stage {
    /// Opens the page of a daemon with these flags.
    #[track_caller]
    fn open(sandbox: Sandbox, flags: &str) -> Self {
        let daemon = sandbox.following_daemon().args(flags).start();
        let tab = Tab::new(&sandbox);
        let mut stage = Self {
            tab,
            daemon,
            sandbox,
        };
        stage.go();
        stage
    }

    #[track_caller]
    fn go(&mut self) {
        let address = self.daemon.address.clone();
        self.tab
            .run(&format!("await page.goto('http://{address}/')"));
    }
}

/// Writes a picture of the page to `target/tmp`, for people to look at.
fn picture(tab: &mut Tab, name: &str, width: u32, scheme: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
        .join(format!("page-{name}-{scheme}-{width}.png"));
    tab.run(&format!(
        "await page.emulateMedia({{ colorScheme: '{scheme}' }});
         await page.setViewportSize({{ width: {width}, height: 900 }});
         await drawn();
         await page.screenshot({{ path: {:?} }})",
        path.to_str().unwrap()
    ));
    path
}

/// Asserts that the page fits into windows of all widths and is accessible, and makes pictures of it.
#[track_caller]
fn assert_looks_right(tab: &mut Tab, name: &str) {
    for width in [320, 360, 400, 768, 1024, 1400, 1600] {
        let wider = tab.run(&format!("return overflow({width})"));
        assert_eq!(wider, 0, "{name}: wider than {width} pixels");
    }
    tab.assert_accessible();
    for scheme in ["light", "dark"] {
        for width in [400, 1400] {
            let picture = picture(tab, name, width, scheme);
            assert!(fs::metadata(picture).unwrap().len() > 1000);
        }
    }
}

#[test]
fn an_edit_shows_by_itself_and_a_recreate_with_its_log() {
    let config = json!({
        "containerEnv": {"NAME": "one"},
        "postCreateCommand": "echo a line of the hook",
        "runArgs": ["--publish", "127.0.0.1::8080"],
    });
    let workspace = Workspace::new("page", config);
    let first = workspace.up();
    let daemon = daemon().start();
    let sandbox = Sandbox::new();
    let mut tab = Tab::new(&sandbox);
    let (address, name) = (&daemon.address, &workspace.name);
    tab.run(&format!("await page.goto('http://{address}/')"));
    tab.run(&format!("await see('running', article('{name}'))"));
    let shown = tab.run(&format!("return article('{name}').innerText()"));
    let shown = shown.as_str().unwrap();
    assert!(!shown.contains("dirty"), "{shown}");
    let port = listed(&daemon, &first).unwrap()["ports"][0]["host_port"].clone();
    let link = tab.run(&format!(
        "return article('{name}').getByRole('link').getAttribute('href')"
    ));
    assert_eq!(link, format!("http://127.0.0.1:{port}/"));

    let text = workspace.read().replace("\"one\"", "\"two\"");
    workspace.write(&text);
    tab.run(&format!(
        "const card = article('{name}');
         await see('dirty', card);
         await see('.devcontainer/devcontainer.json was modified', card)"
    ));
    tab.run(&format!(
        "await press('Recreate {name}');
         await page.getByRole('dialog', {{ name: 'Recreate {name}?' }}).waitFor();
         await page.waitForTimeout(450);
         await press('Recreate')"
    ));
    tab.run(&format!(
        "const card = article('{name}');
         await see('a line of the hook', card);
         await see('recreate succeeded', card);
         await see(/Recreate succeeded after/, card);
         await card.getByText('dirty', {{ exact: true }}).waitFor({{ state: 'hidden' }});
         for (const phase of ['create', 'postCreateCommand']) {{
           await card.getByRole('list', {{ name: 'Phases' }}).getByText(phase).waitFor();
         }}"
    ));
    let one = workspace.devcontainer(&daemon);
    assert_ne!(container_of(&one), first);
    tab.assert_accessible();
    tab.assert_no_problem_but(&[]);
}

#[test]
fn a_recreate_can_be_cancelled_and_the_old_container_stays() {
    let sandbox = Sandbox::with_app();
    sandbox.devcontainer("echo '{\"type\":\"text\",\"level\":3,\"timestamp\":1,\"text\":\"<b>pulling</b>\"}' >&2; sleep 600");
    let mut stage = Stage::open(sandbox, "");
    let tab = &mut stage.tab;
    // A person who says no changes nothing.
    tab.run(
        "await press('Recreate app');
         await page.keyboard.press('Escape');
         await page.getByRole('dialog').waitFor({ state: 'hidden' })",
    );
    let focused = "return page.evaluate(() => document.activeElement.getAttribute('aria-label'))";
    assert_eq!(tab.run(focused), "Recreate app");
    assert_eq!(stage.sandbox.calls("devcontainer", ""), 0);
    tab.run(
        "await page.keyboard.press('Enter');
         await page.getByRole('dialog').waitFor();
         await page.waitForTimeout(450);
         await page.keyboard.press('Tab');
         await page.keyboard.press('Enter');
         await see('<b>pulling</b>', article('app'));
         await see(/Recreate runs/, article('app'))",
    );
    assert_looks_right(tab, "log");
    tab.run(
        "await press('Cancel app');
         await see(/Recreate was cancelled after/, article('app'));
         await see('The log has ended: cancelled.', article('app'))",
    );
    // The button is gone, but a screen reader and a keyboard go on from a place nearby.
    assert_eq!(tab.run(focused), "Log of app");
    let one = stage.daemon.devcontainer();
    assert_eq!(
        (&one["status"], &one["container"]["name"]),
        (&json!("running"), &json!("box1"))
    );
    tab.assert_no_problem_but(&[]);
}

#[test]
fn a_refused_request_is_explained_in_its_place() {
    let sandbox = Sandbox::with_app();
    let mut stage = Stage::open(sandbox, "");
    stage.tab.run("await article('app').waitFor()");
    fs::rename(
        stage.sandbox.path("work/app"),
        stage.sandbox.path("work/other"),
    )
    .unwrap();
    stage.tab.run(
        "await page.waitForTimeout(500);
         await press('Recreate app');
         await page.waitForTimeout(450);
         await press('Recreate');
         await see(/Workspace folder not allowed/, article('app'))",
    );
    assert_eq!(stage.sandbox.calls("devcontainer", ""), 0);
    stage.tab.assert_no_problem_but(&FAILED_REQUESTS);
}

#[test]
fn an_engine_that_is_down_and_comes_back_is_shown() {
    let sandbox = Sandbox::with_app();
    sandbox.docker("echo 'Cannot connect to the <Docker> daemon' >&2; exit 1");
    let mut stage = Stage::open(sandbox, "");
    let tab = &mut stage.tab;
    tab.run(
        "await see('Docker does not answer.'); await see(/Cannot connect to the <Docker> daemon/)",
    );
    assert_looks_right(tab, "down");
    stage.sandbox.docker("");
    tab.run("await see('running', article('app')); await page.getByText('Docker does not answer.').waitFor({ state: 'hidden' })");

    stage.sandbox.docker("echo 'Cannot connect' >&2; exit 1");
    stage.sandbox.event(1, "pause");
    tab.run("await see('Docker does not answer.'); await see(/last known state/); await article('app').waitFor()");
    stage.sandbox.docker("");
    tab.run("await page.getByText('Docker does not answer.').waitFor({ state: 'hidden' })");
    tab.assert_no_problem_but(&FAILED_REQUESTS);
}

#[test]
fn a_daemon_that_goes_away_and_comes_back_is_followed_again() {
    let mut stage = Stage::open(Sandbox::with_app(), "");
    let tab = &mut stage.tab;
    tab.run("await see('running', article('app')); await see('live')");
    let address = stage.daemon.address.clone();
    stage.daemon.signal("TERM");
    assert!(stage.daemon.wait().success());
    tab.run("await see('The daemon does not answer.'); await see('not connected'); await article('app').waitFor()");
    assert_looks_right(tab, "away");
    let state = json!({"Status": "paused", "Running": true});
    stage
        .sandbox
        .container(1)
        .of(&stage.sandbox.path("work/app"))
        .set("State", state)
        .save();
    stage.daemon = stage
        .sandbox
        .following_daemon()
        .args(&format!("--listen {address}"))
        .start();
    tab.run("await press('Try now'); await see('live'); await see(/box1: paused/, article('app'))");
    tab.run("await page.getByText('The daemon does not answer.').waitFor({ state: 'hidden' })");
    tab.assert_no_problem_but(&FAILED_REQUESTS);
}

#[test]
fn a_token_is_asked_for_and_kept_until_the_tab_is_closed() {
    let sandbox = Sandbox::with_app();
    sandbox.replace("token", TOKEN, 0o600);
    let flag = format!("--token-file {}", sandbox.path("token").display());
    let mut stage = Stage::open(sandbox, &flag);
    let tab = &mut stage.tab;
    tab.run("await see('The daemon needs a token.'); await page.getByLabel('Token').waitFor()");
    assert_looks_right(tab, "token");
    let enter = |token: &str| {
        format!(
            "await page.getByLabel('Token').fill('{token}'); await page.keyboard.press('Enter')"
        )
    };
    tab.run(&enter("no token"));
    tab.run("await see(/letters, digits/)");
    tab.run(&enter("another-horse-battery-staple"));
    tab.run("await see('The daemon does not accept this token.')");
    tab.run(&enter(TOKEN));
    tab.run("await see('running', article('app'))");
    let kept =
        "return page.evaluate(() => [{ ...sessionStorage }, { ...localStorage }, document.cookie])";
    assert_eq!(tab.run(kept), json!([{"token": TOKEN}, {}, ""]));
    tab.run("await page.reload(); await see('running', article('app'))");
    tab.run(
        "await press('Recreate app');
         await page.waitForTimeout(450);
         await press('Recreate');
         await see('recreate succeeded', article('app'))",
    );
    // What was shown does not stay readable once the token is another one.
    stage
        .sandbox
        .replace("token", "another-horse-battery-staple", 0o600);
    eventually("the new token is in force", || {
        let authorization = format!("Authorization: Bearer {TOKEN}\r\n");
        let answer = stage.daemon.request("GET", "/version", &authorization);
        (answer.status == 401).then_some(())
    });
    tab.run("await page.reload(); await see('The daemon does not accept this token.')");
    let shown = tab.run("return page.evaluate(() => document.body.innerText)");
    assert!(!shown.as_str().unwrap().contains("box1"), "{shown}");
    tab.assert_no_problem_but(&FAILED_REQUESTS);
}

/// Texts from containers, files and programs are shown as they are, in their place, and nothing more.
#[test]
fn hostile_texts_stay_texts() {
    let sandbox = Sandbox::new();
    let markup = "<img src=x onerror=\"document.title=1\"><script>alert(1)</script>";
    let name = format!("{}\u{202e}{}", "<i>w", "x".repeat(190));
    let folder = sandbox.workspace(&name);
    let long = "w".repeat(200);
    let error = format!("{markup} {}", "out of <b>memory</b> ".repeat(200));
    sandbox
        .container(1)
        .of(&folder)
        .label("x", markup)
        .set("Name", json!(format!("/{long}")))
        .set(
            "State",
            json!({"Status": "exited", "ExitCode": 1, "Error": error}),
        )
        .set(
            "Config",
            json!({"Image": markup, "Labels": {
                "devcontainer.local_folder": folder,
                "devcontainer.config_file": folder.join(".devcontainer/devcontainer.json"),
            }}),
        )
        .set(
            "NetworkSettings",
            json!({"Ports": {"80/tcp": [{"HostIp": "evil.example/", "HostPort": "80"}]}}),
        )
        .save();
    let said = json!({"type": "text", "level": 3, "timestamp": 1, "text": format!("{markup}\u{1b}[31mred")});
    let failed = json!({"outcome": "error", "message": error});
    sandbox.devcontainer(&format!(
        "printf '%s\\n' '{said}' >&2; printf '%s\\n' '{failed}'; exit 1"
    ));
    let mut stage = Stage::open(sandbox, "");
    let tab = &mut stage.tab;
    tab.run("await page.getByRole('article').waitFor(); await page.waitForTimeout(500)");
    tab.run("await page.getByRole('button', { name: /^Recreate/ }).click(); await page.waitForTimeout(450); await press('Recreate')");
    tab.run("await see('The log has ended: failed.'); await see(/onerror=.*red/)");
    assert_looks_right(tab, "hostile");
    let made = "return page.evaluate(() => document.querySelectorAll('img, i, b, main script, iframe, [onerror]').length)";
    assert_eq!(tab.run(made), 0);
    let title = tab.run("return page.title()");
    assert!(
        title.as_str().unwrap().ends_with("devcontainerd"),
        "{title}"
    );
    let links = "return page.getByRole('article').getByRole('link').count()";
    assert_eq!(tab.run(links), 0);
    let card = tab.run("return page.getByRole('article').innerText()");
    let card = card.as_str().unwrap();
    assert!(
        card.contains("<script>alert(1)</script>") && !card.contains('\u{202e}'),
        "{card}"
    );
    tab.assert_no_problem_but(&[]);
}

#[test]
fn a_thousand_dev_containers_stay_usable() {
    const MANY: u32 = 1000;
    let sandbox = Sandbox::new();
    for number in 1..=MANY {
        let folder = sandbox.workspace(&format!("app{number}"));
        sandbox.devcontainer_of(number, &folder);
    }
    let mut stage = Stage::open(sandbox, "");
    let tab = &mut stage.tab;
    tab.run("await see('1000 dev containers, 1000 containers')");
    assert_eq!(tab.run("return page.getByRole('article').count()"), 100);
    // All of them can be drawn, found and told apart.
    tab.run("await page.getByRole('button', { name: 'Show 500 of 900 more' }).click()");
    tab.run(
        "await page.getByRole('button', { name: 'Show 400 of 400 more' }).click(); await drawn()",
    );
    assert_eq!(tab.run("return page.getByRole('article').count()"), MANY);
    tab.run(
        "await page.evaluate(() => {
           self.longest = 0;
           new PerformanceObserver((list) => {
             for (const { duration } of list.getEntries()) self.longest = Math.max(self.longest, duration);
           }).observe({ type: 'longtask' });
         })",
    );
    let config = stage.sandbox.config("app777");
    fs::write(config, r#"{"image": "other"}"#).unwrap();
    tab.run("await see('dirty', article('app777')); await see(/1000 dev containers, 1 dirty/)");
    tab.run(
        "await page.getByLabel('Filter').fill('dirty'); await see('Dev containers (1 of 1000)')",
    );
    assert_eq!(tab.run("return page.getByRole('article').count()"), 1);
    tab.run("await page.getByLabel('Filter').fill(''); await see('Dev containers (1000)')");
    let longest = tab.run("return page.evaluate(() => self.longest)");
    println!("the longest task with {MANY} cards: {longest} ms");
    tab.assert_no_problem_but(&[]);
}

#[test]
fn the_page_looks_right_and_is_accessible() {
    let sandbox = Sandbox::new();
    for (number, name) in [(1, "api"), (2, "web"), (3, "worker")] {
        let folder = sandbox.workspace(name);
        let port = json!({"3000/tcp": [{"HostIp": "127.0.0.1", "HostPort": (8000 + number).to_string()}], "9229/tcp": null});
        sandbox
            .container(number)
            .of(&folder)
            .set("NetworkSettings", json!({"Ports": port}))
            .save();
    }
    sandbox.container(4).set("Name", json!("/postgres")).save();
    let stopped = json!({"Status": "exited", "ExitCode": 137, "Running": false});
    sandbox
        .container(3)
        .of(&sandbox.path("work/worker"))
        .set("State", stopped)
        .save();
    let mut stage = Stage::open(sandbox, "");
    fs::write(stage.sandbox.config("web"), r#"{"image": "other"}"#).unwrap();
    fs::write(
        stage.sandbox.config("api"),
        r#"{"build": {"dockerfile": "missing"}}"#,
    )
    .unwrap();
    let tab = &mut stage.tab;
    tab.run("await see('dirty', article('web')); await see(/box1/, article('api'))");
    assert_looks_right(tab, "list");
    tab.run("await press('Delete web'); await page.getByRole('dialog').waitFor()");
    assert_looks_right(tab, "dialog");
    tab.run("await press('Keep it as it is')");
    tab.assert_no_problem_but(&[]);
}

/// A link of another site opens the page, which holds nothing of that site, and no frame shows it.
#[test]
fn p17_a_link_opens_the_page_and_no_frame_shows_it() {
    let mut stage = Stage::open(Sandbox::with_app(), "");
    let tab = &mut stage.tab;
    let origin = format!("http://{}", stage.daemon.address);
    let html = format!(
        "<a href='{origin}/'>link</a> <a target=_blank rel=opener href='{origin}/'>tab</a>
         <a href='{origin}/devcontainers'>list</a> <a href='{origin}/devcontainers/app/recreate'>act</a>
         <iframe src='{origin}/'></iframe>"
    );
    let site = format!(
        "await context.route('http://evil.example/**', (route) => route.fulfill({{ contentType: 'text/html', body: {} }}));",
        Value::from(html)
    );
    tab.run(&site);
    let open = "await page.goto('http://evil.example/');";
    let framed = tab.run(&format!(
        "{open} return page.frames()[1].evaluate(() => document.body.innerText)"
    ));
    assert!(!framed.as_str().unwrap().contains("box1"), "{framed}");
    assert!(
        !framed.as_str().unwrap().contains("Dev containers"),
        "{framed}"
    );
    tab.run(&format!(
        "{open} await page.getByText('link').click(); await see('running', article('app'))"
    ));
    let opened = tab.run(&format!(
        "{open}
         const [other] = await Promise.all([context.waitForEvent('page'), page.getByText('tab').click()]);
         await other.getByRole('article').waitFor();
         return [await other.evaluate(() => opener), await other.evaluate(() => document.referrer)]"
    ));
    assert_eq!(opened, json!([null, ""]), "the site cannot reach the page");
    for link in ["list", "act"] {
        let shown = tab.run(&format!(
            "{open} await page.getByText('{link}').click(); await see(/Forbidden/); return page.evaluate(() => document.body.innerText)"
        ));
        assert!(!shown.as_str().unwrap().contains("box1"), "{shown}");
    }
    assert_eq!(stage.sandbox.calls("devcontainer", ""), 0);
}
