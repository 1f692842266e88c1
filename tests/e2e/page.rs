//! The status page in a real Chromium. But for one test, docker and the devcontainer CLI are stand-ins.

mod tab;

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use self::tab::Tab;
use crate::common::{Daemon, Sandbox};
use crate::engine::{daemon, listed};
use crate::workspace::{Workspace, container_of};

/// The lines that Chromium itself prints about answers that are errors and about connections that fail.
const FAILED_REQUESTS: [&str; 1] = ["Failed to load resource"];
const TOKEN: &str = "correct-horse-battery-staple-0123456789";

struct Stage {
    // Ends first, as its programs live in the sandbox.
    tab: Tab,
    daemon: Daemon,
    sandbox: Sandbox,
}

impl Stage {
    /// Opens the page of a daemon.
    #[track_caller]
    fn open(sandbox: Sandbox) -> Self {
        let daemon = sandbox.following_daemon().start();
        let mut tab = Tab::new(&sandbox);
        tab.run(&format!("await page.goto('http://{}/')", daemon.address));
        Self {
            tab,
            daemon,
            sandbox,
        }
    }

    /// Starts the daemon again with these flags, in the place of the one that has ended.
    #[track_caller]
    fn start_again(&mut self, flags: &str) {
        let listen = format!("--listen {}", self.daemon.address);
        self.daemon = self
            .sandbox
            .following_daemon()
            .args(&listen)
            .args(flags)
            .start();
    }
}

/// Asserts that the page fits into windows of all widths and is accessible.
#[track_caller]
fn assert_fits(tab: &mut Tab, name: &str) {
    for width in [320, 360, 1600] {
        let wider = tab.run(&format!("return overflow({width})"));
        assert_eq!(wider, 0, "{name}: wider than {width} pixels");
    }
    tab.assert_accessible();
}

/// Asserts that the page fits, and makes pictures of it in `target/tmp`, for people to look at.
#[track_caller]
fn assert_looks_right(tab: &mut Tab, name: &str) {
    assert_fits(tab, name);
    for (scheme, width) in [
        ("light", 400),
        ("light", 1400),
        ("dark", 1400),
        ("dark", 400),
    ] {
        let picture = format!("page-{name}-{scheme}-{width}.png");
        let picture = Path::new(env!("CARGO_TARGET_TMPDIR")).join(picture);
        tab.run(&format!(
            "await page.emulateMedia({{ colorScheme: '{scheme}' }});
             await page.setViewportSize({{ width: {width}, height: 900 }});
             await drawn();
             await page.screenshot({{ path: {picture:?} }})"
        ));
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
    tab.run(&format!("await confirm('Recreate {name}', 'Recreate')"));
    tab.run(&format!(
        "const card = article('{name}');
         await see('a line of the hook', card);
         await see('recreate succeeded', card);
         await see(/Recreate succeeded after/, card);
         await card.getByText('dirty', {{ exact: true }}).waitFor({{ state: 'hidden' }});
         for (const phase of ['create', 'postCreateCommand']) {{
           await card.getByRole('list', {{ name: 'Phases' }}).getByText(new RegExp(`^${{phase}} `)).waitFor();
         }}"
    ));
    let one = workspace.devcontainer(&daemon);
    assert_ne!(container_of(&one), first);
    tab.assert_accessible();
    tab.assert_no_problem_but(&[]);
}

#[test]
fn a_person_with_a_keyboard_recreates_and_cancels() {
    let sandbox = Sandbox::new();
    for (number, name) in [(1, "api"), (2, "web"), (3, "worker")] {
        let folder = sandbox.workspace(name);
        let published = json!([{"HostIp": "127.0.0.1", "HostPort": (8000 + number).to_string()}]);
        let ports = json!({"Ports": {"3000/tcp": published, "9229/tcp": null}});
        sandbox
            .container(number)
            .of(&folder)
            .set("NetworkSettings", ports)
            .save();
    }
    let stopped = json!({"Status": "exited", "ExitCode": 137, "Running": false});
    let worker = sandbox.container(3).of(&sandbox.path("work/worker"));
    worker.set("State", stopped).save();
    sandbox.container(4).set("Name", json!("/postgres")).save();
    let line = r#"{"type":"text","level":3,"timestamp":1,"text":"pulling"}"#;
    sandbox.devcontainer(&format!("echo '{line}' >&2; sleep 600"));
    let mut stage = Stage::open(sandbox);
    let tab = &mut stage.tab;
    fs::write(stage.sandbox.config("web"), r#"{"image": "other"}"#).unwrap();
    let missing = r#"{"build": {"dockerfile": "missing"}}"#;
    fs::write(stage.sandbox.config("api"), missing).unwrap();
    tab.run("await see('dirty', article('web')); await see(/missing/, article('api'))");
    assert_looks_right(tab, "list");

    // A person who says no changes nothing.
    let focused = "return page.evaluate(() => document.activeElement.getAttribute('aria-label'))";
    tab.run("await press('Delete web'); await page.getByRole('dialog').waitFor()");
    assert_fits(tab, "dialog");
    tab.run("await page.keyboard.press('Escape'); await page.getByRole('dialog').waitFor({ state: 'hidden' })");
    assert_eq!(tab.run(focused), "Delete web");
    assert_eq!(stage.sandbox.calls("devcontainer", ""), 0);

    tab.run(
        "await page.getByRole('button', { name: 'Recreate web' }).focus();
         await page.keyboard.press('Enter');
         await page.getByRole('dialog').waitFor();
         await page.waitForTimeout(450);
         await page.keyboard.press('Tab');
         await page.keyboard.press('Enter');
         await see('pulling', article('web'));
         await see(/Recreate runs/, article('web'))",
    );
    assert_looks_right(tab, "log");
    tab.run(
        "await press('Cancel web');
         await see(/Recreate was cancelled after/, article('web'));
         await see('The log has ended: cancelled.', article('web'))",
    );
    // The button is gone, but a screen reader and a keyboard go on from a place nearby.
    assert_eq!(tab.run(focused), "Log of web");
    let one = stage.daemon.get("/devcontainers/web").json();
    assert_eq!(
        (&one["status"], &one["container"]["name"]),
        (&json!("running"), &json!("box2"))
    );
    tab.assert_no_problem_but(&[]);

    fs::rename(
        stage.sandbox.path("work/worker"),
        stage.sandbox.path("work/away"),
    )
    .unwrap();
    tab.run(
        "await confirm('Recreate worker', 'Recreate'); await see(/not allowed/, article('worker'))",
    );
    tab.assert_no_problem_but(&FAILED_REQUESTS);
}

#[test]
fn outages_and_tokens_are_explained_until_they_end() {
    let sandbox = Sandbox::with_app();
    let down = "echo 'Cannot connect to the <Docker> daemon' >&2; exit 1";
    sandbox.docker(down);
    let mut stage = Stage::open(sandbox);
    let tab = &mut stage.tab;
    tab.run(
        "await see('Docker does not answer.'); await see(/Cannot connect to the <Docker> daemon/)",
    );
    assert_fits(tab, "down");
    stage.sandbox.docker("");
    tab.run("await page.evaluate(() => dispatchEvent(new Event('online'))); await see('running', article('app')); await vanish('Docker does not answer.')");
    stage.sandbox.docker(down);
    stage.sandbox.event(1, "pause");
    tab.run(
        "await see('Docker does not answer.'); await see(/last known state/); await see('app')",
    );
    stage.sandbox.docker("");
    tab.run("await vanish('Docker does not answer.')");

    stage.daemon.signal("TERM");
    assert!(stage.daemon.wait().success());
    stage.tab.run(
        "await see('The daemon does not answer.'); await see('not connected'); await press('Try now'); await see('app')",
    );
    assert_fits(&mut stage.tab, "away");
    let state = json!({"Status": "paused", "Running": true});
    let app = stage
        .sandbox
        .container(1)
        .of(&stage.sandbox.path("work/app"));
    app.set("State", state).save();
    stage.start_again("");
    stage.tab.run("await page.evaluate(() => dispatchEvent(new Event('online'))); await see('live'); await see(/box1: paused/, article('app')); await vanish('The daemon does not answer.')");

    stage.daemon.signal("TERM");
    assert!(stage.daemon.wait().success());
    stage.sandbox.replace("token", TOKEN, 0o600);
    let flag = format!("--token-file {}", stage.sandbox.path("token").display());
    stage.start_again(&flag);
    let tab = &mut stage.tab;
    tab.run("await see('The daemon needs a token.')");
    // The list that was shown without one does not stay readable.
    tab.run("await vanish('app')");
    assert_fits(tab, "token");
    let enter = |token: &str| {
        format!(
            "await page.getByRole('textbox', {{ name: 'Token' }}).fill('{token}'); await page.keyboard.press('Enter');"
        )
    };
    tab.run(&(enter("no token") + "await see(/letters, digits/)"));
    tab.run(
        &(enter("another-horse-battery-staple")
            + "await see('The daemon does not accept this token.')"),
    );
    tab.run(&(enter(TOKEN) + "await see(/box1: paused/, article('app'))"));
    let kept =
        "return page.evaluate(() => [{ ...sessionStorage }, { ...localStorage }, document.cookie])";
    assert_eq!(tab.run(kept), json!([{"token": TOKEN}, {}, ""]));
    tab.run("await page.reload(); await confirm('Recreate app', 'Recreate'); await see('recreate succeeded')");
    tab.run("await press('Forget the token'); await see('The daemon needs a token.'); await vanish('app')");
    assert_eq!(tab.run(kept), json!([{}, {}, ""]));
    tab.assert_no_problem_but(&FAILED_REQUESTS);
}

/// Texts from containers, files and programs are shown as they are, in their place, and nothing more.
#[test]
fn a_thousand_dev_containers_with_hostile_texts_stay_usable() {
    const MANY: u32 = 1000;
    const MARKUP: &str = "<img src=x onerror=\"document.title=1\"><script>alert(1)</script>";
    let sandbox = Sandbox::new();
    for number in 2..=MANY {
        let folder = sandbox.workspace(&format!("app{number}"));
        sandbox.devcontainer_of(number, &folder);
    }
    let folder = sandbox.workspace(&format!("<i>w\u{202e}{}", "x".repeat(190)));
    let error = format!("{MARKUP} {}", "out of <b>memory</b> ".repeat(200));
    let binding = json!([{"HostIp": "evil.example/", "HostPort": "80"}]);
    sandbox
        .container(1)
        .set("Config", json!({"Image": MARKUP, "Labels": {}}))
        .of(&folder)
        .set("Name", json!(format!("/{}", "w".repeat(200))))
        .set(
            "State",
            json!({"Status": "exited", "ExitCode": 1, "Error": error}),
        )
        .set("NetworkSettings", json!({"Ports": {"80/tcp": binding}}))
        .save();
    let text = format!("{MARKUP}\u{1b}[31mred");
    let said = json!({"type": "text", "level": 3, "timestamp": 1, "text": text});
    let failed = json!({"outcome": "error", "message": error});
    sandbox.write("said", &said.to_string());
    sandbox.write("failed", &failed.to_string());
    sandbox.devcontainer("cat \"$R/said\" >&2; echo >&2; cat \"$R/failed\"; exit 1");

    let mut stage = Stage::open(sandbox);
    let tab = &mut stage.tab;
    tab.run("await see('1000 dev containers, 1000 containers')");
    let cards = "return page.getByRole('article').count()";
    assert_eq!(tab.run(cards), 100);
    // The cards get their heights as they come into view, which would move the button away from a mouse.
    for more in ["Show 500 of 900 more", "Show 400 of 400 more"] {
        tab.run(&format!(
            "await page.getByRole('button', {{ name: '{more}' }}).press('Enter')"
        ));
    }
    tab.run("await drawn()");
    assert_eq!(tab.run(cards), MANY);
    fs::write(stage.sandbox.config("app777"), r#"{"image": "other"}"#).unwrap();
    tab.run("await see('dirty', article('app777')); await see(/1000 dev containers, 1 dirty/)");
    tab.run(
        "await page.getByLabel('Filter').fill('dirty'); await see('Dev containers (1 of 1000)')",
    );
    assert_eq!(tab.run(cards), 1);
    tab.run(
        "await page.getByLabel('Filter').fill('<i>w'); await see('Dev containers (1 of 1000)')",
    );
    tab.run(
        "await page.getByRole('button', { name: /^Recreate/ }).click();
         await page.waitForTimeout(450);
         await press('Recreate');
         await see('The log has ended: failed.');
         await see(/onerror=.*red/)",
    );
    assert_looks_right(tab, "hostile");
    let made = "return page.evaluate(() => document.querySelectorAll('img, i, b, main script, iframe, [onerror]').length)";
    assert_eq!(tab.run(made), 0);
    assert_eq!(tab.run("return page.title()"), "1 dirty – devcontainerd");
    assert_eq!(
        tab.run("return page.getByRole('article').getByRole('link').count()"),
        0
    );
    let card = tab.run("return page.getByRole('article').innerText()");
    let card = card.as_str().unwrap();
    assert!(
        card.contains("<script>alert(1)</script>") && !card.contains('\u{202e}'),
        "{card}"
    );
    tab.assert_no_problem_but(&[]);
}

/// A link of another site opens the page, which holds nothing of that site, and no frame shows it.
#[test]
fn p17_a_link_opens_the_page_and_no_frame_shows_it() {
    let mut stage = Stage::open(Sandbox::with_app());
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
         return other.evaluate(() => opener)"
    ));
    assert_eq!(opened, Value::Null, "the site cannot reach the page");
    for link in ["list", "act"] {
        let shown = tab.run(&format!(
            "{open} await page.getByText('{link}').click(); await see(/Forbidden/); return page.evaluate(() => document.body.innerText)"
        ));
        assert!(!shown.as_str().unwrap().contains("box1"), "{shown}");
    }
    assert_eq!(stage.sandbox.calls("devcontainer", ""), 0);
}
