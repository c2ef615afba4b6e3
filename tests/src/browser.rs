//! A real Chromium, headless, steered through chromedriver, with a profile of its own.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use fantoccini::{
    Client, ClientBuilder, Locator, elements::Element, wd::WebDriverCompatibleCommand,
};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::json;
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};
use url::Url;

use crate::{binary, reaper};

/// One browser window.
#[derive(Debug)]
pub struct Browser {
    /// What fantoccini offers beyond this.
    pub client: Client,
    driver: Child,
    group: u32,
    profile: TempDir,
    screenshots: PathBuf,
}

/// Where all screenshots of a run are.
pub fn screenshots() -> PathBuf {
    binary::source_root().join("target/screenshots")
}

impl Browser {
    /// Opens a window of `width` × `height` that prefers `language`; its screenshots go to
    /// `target/screenshots/NAME`.
    pub async fn open(name: &str, language: &str, width: u32, height: u32) -> Self {
        let profile =
            tempfile::Builder::new().prefix("haetae-chromium-").tempdir().expect("a folder");
        let mut command = Command::new("chromedriver");
        command
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0)
            .kill_on_drop(true);
        let mut driver = command.spawn().expect("chromedriver (scripts/setup test installs it)");
        let group = driver.id().expect("it runs");
        reaper::add_group(group);
        let mut lines = BufReader::new(driver.stdout.take().expect("piped")).lines();
        let port = loop {
            let line = lines.next_line().await.expect("text").expect("chromedriver says its port");
            if let Some((_, rest)) = line.split_once("successfully on port ") {
                break rest.trim_end_matches('.').parse::<u16>().expect("a port");
            }
        };
        // Somebody must go on reading, or chromedriver stops at a full pipe.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let mut arguments = vec![
            "--headless=new".to_owned(),
            "--disable-gpu".to_owned(),
            "--disable-dev-shm-usage".to_owned(),
            "--no-first-run".to_owned(),
            "--hide-scrollbars".to_owned(),
            "--force-prefers-reduced-motion".to_owned(),
            format!("--window-size={width},{height}"),
            format!("--lang={language}"),
            format!("--accept-lang={language}"),
            format!("--user-data-dir={}", profile.path().display()),
        ];
        if am_root() {
            arguments.push("--no-sandbox".to_owned());
        }
        let mut options = json!({
            "args": arguments,
            "prefs": { "intl.accept_languages": language },
        });
        // A desktop window has a least width; a phone has to be emulated.
        if width < 500 {
            options["mobileEmulation"] = json!({
                "deviceMetrics": { "width": width, "height": height, "pixelRatio": 1, "touch": true },
            });
        }
        let capabilities = json!({
            "browserName": "chrome",
            // The development CA of the stack is trusted by nobody on this machine.
            "acceptInsecureCerts": true,
            "goog:chromeOptions": options,
        });
        let client = ClientBuilder::new(HttpConnector::new())
            .capabilities(capabilities.as_object().expect("an object").clone())
            .connect(&format!("http://127.0.0.1:{port}"))
            .await
            .expect("Chromium starts");
        let screenshots = screenshots().join(name);
        std::fs::create_dir_all(&screenshots).expect("a folder for screenshots");
        Self { client, driver, group, profile, screenshots }
    }

    /// Opens `url`.
    pub async fn goto(&self, url: &Url) {
        self.client.goto(url.as_str()).await.unwrap_or_else(|error| panic!("{url}: {error}"));
    }

    /// The address in the bar.
    pub async fn url(&self) -> Url {
        self.client.current_url().await.expect("a page")
    }

    /// The element `css`, as soon as it is there (10 s).
    pub async fn find(&self, css: &str) -> Element {
        let found =
            self.client.wait().at_most(Duration::from_secs(10)).for_element(Locator::Css(css));
        match found.await {
            Ok(element) => element,
            Err(error) => panic!("{css}: {error}: {} {}", self.url().await, self.text().await),
        }
    }

    /// Whether `css` is on the page now.
    pub async fn has(&self, css: &str) -> bool {
        self.client.find(Locator::Css(css)).await.is_ok()
    }

    /// Types `text` into the field `name`, in place of what was there.
    pub async fn fill(&self, name: &str, text: &str) {
        let field = self.find(&format!("[name='{name}']")).await;
        field.clear().await.expect("a field can be cleared");
        field.send_keys(text).await.expect("a field takes keys");
    }

    /// Clicks `css`.
    pub async fn click(&self, css: &str) {
        let element = self.find(css).await;
        if let Err(error) = element.click().await {
            panic!("{css}: {error}: {}", self.url().await);
        }
    }

    /// The visible text of the page.
    pub async fn text(&self) -> String {
        match self.client.find(Locator::Css("body")).await {
            Ok(body) => body.text().await.unwrap_or_default(),
            Err(_) => String::new(),
        }
    }

    /// The language that the page says it is in.
    pub async fn language(&self) -> String {
        let html = self.find("html").await;
        html.attr("lang").await.expect("an attribute").unwrap_or_default()
    }

    /// Waits (20 s) until the visible text contains one of `words`.
    pub async fn await_text(&self, words: &[&str]) -> String {
        crate::wait::until(
            &format!("the page says {words:?}"),
            Duration::from_secs(20),
            async || {
                let text = self.text().await;
                words.iter().any(|word| text.contains(word)).then_some(text)
            },
        )
        .await
    }

    /// Waits (20 s) until the path of the address passes `test`.
    pub async fn await_path(&self, what: &str, test: impl Fn(&str) -> bool) -> Url {
        crate::wait::until(what, Duration::from_secs(20), async || {
            let url = self.client.current_url().await.ok()?;
            test(url.path()).then_some(url)
        })
        .await
    }

    /// Runs JavaScript on the page.
    pub async fn script(&self, source: &str) -> serde_json::Value {
        self.client
            .execute(source, Vec::new())
            .await
            .unwrap_or_else(|error| panic!("{source}: {error}"))
    }

    /// Keeps a picture of the whole page as `NAME.png`.
    pub async fn screenshot(&self, name: &str) {
        let capture = DevTools {
            command: "Page.captureScreenshot",
            parameters: json!({ "captureBeyondViewport": true }),
        };
        let answer = self.client.issue_cmd(capture).await.expect("a screenshot");
        let png = BASE64.decode(answer["data"].as_str().expect("a picture")).expect("base64");
        std::fs::write(self.screenshots.join(format!("{name}.png")), png).expect("a file");
    }

    /// The names of the cookies that scripts of the page can see.
    pub async fn script_cookies(&self) -> String {
        self.script("return document.cookie").await.as_str().unwrap_or_default().to_owned()
    }

    /// Closes the window.
    pub async fn close(mut self) {
        let _closed = self.client.clone().close().await;
        let _killed = self.driver.start_kill();
        let _profile: &Path = self.profile.path();
    }
}

/// A command of the `DevTools` protocol, which chromedriver passes on.
#[derive(Debug)]
struct DevTools {
    command: &'static str,
    parameters: serde_json::Value,
}

impl WebDriverCompatibleCommand for DevTools {
    fn endpoint(&self, base: &Url, session: Option<&str>) -> Result<Url, url::ParseError> {
        base.join(&format!("session/{}/goog/cdp/execute", session.unwrap_or_default()))
    }

    fn method_and_body(&self, _: &Url) -> (http::Method, Option<String>) {
        let body = json!({ "cmd": self.command, "params": self.parameters });
        (http::Method::POST, Some(body.to_string()))
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        crate::stack::send_signal("KILL", &format!("-{}", self.group));
        reaper::drop_group(self.group);
    }
}

fn am_root() -> bool {
    std::process::Command::new("id")
        .arg("-u")
        .output()
        .is_ok_and(|output| output.stdout.starts_with(b"0\n"))
}
