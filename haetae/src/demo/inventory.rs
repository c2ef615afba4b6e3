//! What the demo has to reserve: a dozen things of different kinds, some plenty, some nearly gone.

use std::{collections::BTreeMap, time::Duration};

use haetae_base::clock::Timestamp;
use serde_json::{Value, json};

use super::with;

struct Item {
    sku: &'static str,
    name: &'static str,
    description: &'static str,
    quantity: u32,
    price: (i64, &'static str),
    /// When it takes place: in so many days, at this hour UTC. `None`: whenever one likes.
    starts: Option<(u64, u64)>,
    attributes: &'static [(&'static str, &'static str)],
}

const ITEMS: [Item; 12] = [
    Item {
        sku: "moonlight-walk",
        name: "창덕궁 달빛기행 · Moonlight walk at Changdeokgung",
        description: "등불을 들고 걷는 밤의 궁궐, 가야금 연주와 함께. The palace by lantern light, with \
                      gayageum music in the rear garden.",
        quantity: 40,
        price: (30_000, "KRW"),
        starts: Some((7, 11)),
        attributes: &[("city", "Seoul"), ("kind", "tour")],
    },
    Item {
        sku: "hanok-bukchon",
        name: "북촌 한옥 스테이 · A night in a Bukchon hanok",
        description: "온돌방과 작은 마당이 있는 한옥에서의 하룻밤, 아침 식사 포함. Heated floors, a small \
                      courtyard, breakfast.",
        quantity: 4,
        price: (180_000, "KRW"),
        starts: Some((10, 6)),
        attributes: &[("city", "Seoul"), ("kind", "stay")],
    },
    Item {
        sku: "haetae-statue",
        name: "해태 석상 미니어처 · Haetae, the guardian, in stone",
        description: "불을 삼키는 해태. 손바닥만 한 화강암 조각. The guardian who eats fire, carved in \
                      granite, the size of a palm.",
        quantity: 120,
        price: (49_000, "KRW"),
        starts: None,
        attributes: &[("kind", "craft")],
    },
    Item {
        sku: "pansori-evening",
        name: "판소리 심청가 완창 · Pansori: the whole Simcheongga",
        description: "한 명의 소리꾼, 한 명의 고수, 네 시간. One singer, one drummer, four hours.",
        quantity: 250,
        price: (45_000, "KRW"),
        starts: Some((14, 10)),
        attributes: &[("city", "Jeonju"), ("kind", "concert")],
    },
    Item {
        sku: "tea-boseong",
        name: "보성 녹차밭 아침 · Morning in the tea fields of Boseong",
        description: "해 뜰 무렵 첫물차를 따고 덖어 봅니다. Pick and roast first-flush tea at sunrise.",
        quantity: 16,
        price: (65_000, "KRW"),
        starts: Some((21, 21)),
        attributes: &[("city", "Boseong"), ("kind", "workshop")],
    },
    Item {
        sku: "ktx-busan",
        name: "KTX 서울–부산 특실 · KTX Seoul to Busan, first class",
        description: "두 시간 이십삼 분, 창가 자리. Two hours and twenty-three minutes, by the window.",
        quantity: 127,
        price: (83_700, "KRW"),
        starts: Some((3, 0)),
        attributes: &[("from", "Seoul"), ("kind", "train"), ("to", "Busan")],
    },
    Item {
        sku: "jeju-ferry",
        name: "목포–제주 여객선 · Ferry from Mokpo to Jeju",
        description: "바다가 잔잔한 아침 배. The morning boat, when the sea is calm.",
        quantity: 600,
        price: (37_000, "KRW"),
        starts: Some((5, 0)),
        attributes: &[("from", "Mokpo"), ("kind", "ferry"), ("to", "Jeju")],
    },
    Item {
        sku: "kiln-icheon",
        name: "이천 도자기 물레 체험 · A day at the potter's wheel in Icheon",
        description: "두 점을 빚어 장작가마에 구워 드립니다. Two pieces of your own, fired in a wood kiln.",
        quantity: 8,
        price: (90_000, "KRW"),
        starts: Some((12, 1)),
        attributes: &[("city", "Icheon"), ("kind", "workshop")],
    },
    Item {
        sku: "seoraksan-sunrise",
        name: "설악산 대청봉 일출 산행 · Sunrise on Seoraksan",
        description: "새벽 세 시 출발, 안내자 동행. Leaves at three in the morning, with a guide.",
        quantity: 10,
        price: (55_000, "KRW"),
        starts: Some((9, 18)),
        attributes: &[("city", "Sokcho"), ("kind", "hike")],
    },
    Item {
        sku: "chefs-counter",
        name: "궁중음식 마지막 두 자리 · Royal court dinner: the last two seats",
        description: "열두 첩 반상. 누군가 먼저 앉기 전에. Twelve dishes. Before somebody else sits down.",
        quantity: 2,
        price: (220_000, "KRW"),
        starts: Some((2, 10)),
        attributes: &[("city", "Seoul"), ("kind", "dinner")],
    },
    Item {
        sku: "rust-conference",
        name: "Rust Seoul 2027 · Conference ticket",
        description: "Two days of talks, one of workshops. 발표 이틀, 워크숍 하루.",
        quantity: 500,
        price: (14_900, "USD"),
        starts: Some((60, 0)),
        attributes: &[("city", "Seoul"), ("kind", "conference")],
    },
    Item {
        sku: "library-room",
        name: "도서관 세미나실 · A seminar room at the library",
        description: "여덟 명, 두 시간, 무료. Eight people, two hours, free of charge.",
        quantity: 30,
        price: (0, "KRW"),
        starts: None,
        attributes: &[("city", "Seoul"), ("kind", "room")],
    },
];

const HOUR: Duration = Duration::from_hours(1);

/// The items as `POST /api/v1/inventory/import` and `haetae inventory import` take them: a line of JSON
/// each.
pub(crate) fn ndjson(now: Timestamp) -> String {
    let today = Timestamp::from_seconds(now.as_seconds() - now.as_seconds().rem_euclid(86_400));
    ITEMS.iter().fold(String::new(), |mut lines, item| {
        lines.push_str(&line(item, today).to_string());
        lines.push('\n');
        lines
    })
}

fn line(item: &Item, today: Timestamp) -> Value {
    let (amount_minor, currency) = item.price;
    let line = json!({
        "sku": item.sku,
        "name": item.name,
        "description": item.description,
        "quantity": item.quantity,
        "attributes": item.attributes.iter().copied().collect::<BTreeMap<_, _>>(),
    });
    let price = json!({"amount_minor": amount_minor, "currency": currency});
    let line = with(line, "price", Some(price));
    let starts_at = item.starts.map(|(days, hour)| {
        let hours = u32::try_from(days * 24 + hour).unwrap_or_default();
        today.plus(HOUR * hours).to_rfc3339().into()
    });
    with(line, "starts_at", starts_at)
}
