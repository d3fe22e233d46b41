//! What everybody may read, and what a source outside tells.

use serde_json::{Value, json};
use std::time::Duration;
use testkit::eventually;

use crate::clinic::fresh;
use crate::notifications::Gateway;
use crate::system::{System, http};

async fn published_on(system: &System) {
    let (api, article) = (&system.api, fresh());
    let texts = json!({"texts": [
        {"language": "en", "title": "Crème for the skin", "body": "How to use it: twice a day. 'quoted' \"text\" & more."},
        {"language": "nb", "title": "Krem til huden", "body": "Slik bruker du den."}]});
    let published = api.post(&format!("/v1/articles/{article}/publish-article"), texts.clone()).await.ok();
    api.post(&format!("/v1/articles/{article}/publish-article"), texts).await.refused(422, "article-already-published");
    let other = json!({"texts": [{"language": "en", "title": "Visits", "body": "A nurse welcomes you."}]});
    api.post("/v1/articles", other).await.ok();
    let at_least = published["position"].as_u64().expect("a position") + 1;
    api.get(&format!("/v1/articles?at_least={at_least}")).await.ok();

    // Without a token.
    let anybody = api.with_token(None);
    let titles = async |query: &str| {
        let page = anybody.get(&format!("/v1/knowledge/{query}")).await.ok();
        let titles = page["items"].as_array().expect("articles").iter();
        titles.map(|item| item["title"].as_str().expect("a title").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(titles("en").await, ["Visits", "Crème for the skin"]);
    assert_eq!(titles("EN?search=creme%20SKI").await, ["Crème for the skin"]);
    assert_eq!(titles("en?search=nurse").await, ["Visits"]);
    assert_eq!(titles("en?search=skin%20nurse").await, Vec::<String>::new());
    for hostile in ["%22", "%27)%20OR%201=1", "*", "a%20AND%20NOT", "%3A*", "%26"] {
        titles(&format!("en?search={hostile}")).await;
    }
    assert_eq!(titles("nb").await, ["Krem til huden"]);
    assert_eq!(titles("de").await, Vec::<String>::new());
    anybody.get("/v1/knowledge/en?limit=0").await.refused(400, "out-of-range");
    anybody.get("/v1/knowledge/en?color=red").await.refused(400, "unknown-parameter");

    // Cached by its tag.
    let path = format!("/v1/knowledge/nb/{article}");
    let response = anybody.get_raw(&path).await;
    let tag = response.headers()["etag"].to_str().expect("a tag").to_owned();
    assert_eq!(response.headers()["cache-control"], "public, max-age=60");
    let document: Value = response.json().await.expect("an article");
    assert_eq!(document["body"], "Slik bruker du den.");
    let again = anybody.request(reqwest::Method::GET, &path).header("if-none-match", &tag).send().await;
    assert_eq!(again.expect("an answer").status().as_u16(), 304);
    anybody.get(&format!("/v1/knowledge/de/{article}")).await.refused(404, "not-found");

    // Revised in one language, taken away in all.
    let revised = json!({"texts": [{"language": "NB", "title": "Krem", "body": "Bruk den to ganger om dagen."}]});
    api.post(&format!("/v1/articles/{article}/revise-article"), revised).await.ok();
    let titled = async |title: &str| titles("nb").await == [title];
    eventually("it is revised", Duration::from_secs(30), async || titled("Krem").await).await;
    assert_eq!(titles("nb?search=ganger").await, ["Krem"]);
    api.post(&format!("/v1/articles/{article}/retire-article"), json!({"reason": "A film instead"})).await.ok();
    eventually("it is gone", Duration::from_secs(30), async || titles("nb").await.is_empty()).await;
    assert_eq!(titles("en?search=creme").await, Vec::<String>::new());
    // Who has no duty for it publishes nothing.
    let body = json!({"texts": [{"language": "en", "title": "x", "body": "x"}]});
    system.as_role("monitor").post("/v1/articles", body).await.refused(403, "not-a-duty");
}

#[tokio::test]
async fn everybody_reads_articles_embedded() {
    published_on(&System::embedded_with(&[]).await).await;
}

#[tokio::test]
async fn everybody_reads_articles_on_postgres() {
    published_on(&System::on_postgres().await).await;
}

#[tokio::test]
async fn a_crawler_is_refused_and_nobody_else_notices() {
    let system = System::embedded_with(&[]).await;
    let text = json!({"texts": [{"language": "en", "title": "Visits", "body": "A nurse welcomes you."}]});
    system.api.post("/v1/articles", text).await.ok();
    let url = system.api.command_url().to_owned();
    let client = http();
    let asked = (0..1_500).map(|number| {
        let (client, url) = (client.clone(), url.clone());
        tokio::spawn(async move {
            let address = format!("{url}/v1/knowledge/en?search=word{number}");
            client.get(address).send().await.map(|answer| answer.status().as_u16())
        })
    });
    let asked: Vec<_> = asked.collect();
    let mut refused = 0;
    for asked in asked {
        let status = asked.await.expect("a task").expect("an answer");
        assert!([200, 429, 503].contains(&status), "{status}");
        refused += usize::from(status != 200);
    }
    assert!(refused > 0, "a budget has an end");
    system.api.get("/v1/alerts").await.ok();
}

#[tokio::test]
async fn drug_information_is_kept_while_its_source_is_away() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut source = Gateway::start(folder.path(), &[]).await;
    let system = System::embedded_with(&["--drug-source-url", &source.url()]).await;
    let told = system.api.get("/v1/drugs/examplol").await.ok();
    assert_eq!(
        (&told["stale"], &told["brand_names"][0], &told["source"]),
        (&json!(false), &json!("Examplax"), &json!("openFDA"))
    );
    assert_eq!(told["adverse_reactions"][0], "Drowsiness.");
    system.api.get("/v1/drugs/nothing").await.refused(404, "drug-not-found");
    system.api.get("/v1/drugs/a%22b").await.refused(400, "malformed");
    system.api.with_token(None).get("/v1/drugs/examplol").await.refused(401, "unauthenticated");
    source.kill();
    // What is known is told, what is not is refused; and a command waits for neither.
    assert_eq!(system.api.get("/v1/drugs/EXAMPLOL").await.ok()["name"], "examplol");
    system.api.get("/v1/drugs/samplicillin").await.refused(503, "drug-source-unavailable");
    system.api.post("/v1/patients", json!({})).await.ok();
    let none = System::embedded_with(&[]).await;
    none.api.get("/v1/drugs/examplol").await.refused(404, "not-found");
}
