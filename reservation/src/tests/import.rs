//! Importing: both formats, all or nothing, bringing up to date.

use std::io::Cursor;

use super::bench::{Bench, clock};
use crate::{
    import::{BadLine, Format, ImportError, Imported, Options, run},
    store::search::Query,
};

async fn import(
    bench: &Bench,
    text: &str,
    format: Format,
    skip_bad: bool,
) -> Result<Imported, ImportError> {
    let reader = Cursor::new(text.as_bytes().to_vec());
    run(bench.store.sql(), reader, format, Options { skip_bad }, clock(), Box::new(|_| ())).await
}

async fn count(bench: &Bench) -> usize {
    bench.store.list_items(None, 0, 1000).await.expect("a list").len()
}

#[tokio::test]
async fn all_lines_or_none() {
    for bench in Bench::each().await {
        let text = "{\"sku\":\"a\",\"name\":\"A\",\"quantity\":1}\n\
                    {\"name\":\"broken\"\n\
                    \n\
                    {\"sku\":\"a\",\"name\":\"twice\",\"quantity\":1}\n\
                    {\"name\":\"no quantity\"}\n\
                    {\"sku\":\"b\",\"name\":\"B\",\"quantity\":2,\"attributes\":{\"city\":\"Busan\"}}";
        let Err(ImportError::BadLines(bad)) = import(&bench, text, Format::Ndjson, false).await
        else {
            panic!("there are bad lines");
        };
        let lines: Vec<u64> = bad.first.iter().map(|bad| bad.line).collect();
        assert_eq!(lines, [2, 4, 5]);
        assert!(bad.first[1].reason.contains("line 1"), "{bad:?}");
        assert_eq!(count(&bench).await, 0);
        let done = import(&bench, text, Format::Ndjson, true).await.expect("imported");
        assert_eq!((done.created, done.updated, done.bad.count), (2, 0, 3));
        let found = bench.store.list_items(Query::parse("busan").as_ref(), 0, 10).await;
        assert_eq!(found.expect("a list")[0].about.name, "B");
    }
}

#[tokio::test]
async fn a_known_sku_is_brought_up_to_date() {
    for bench in Bench::each().await {
        let csv = "sku,name,quantity,price_minor,currency,starts_at,city\n\
                   s1,\"One, two\",10,500,KRW,2026-11-20T09:00:00Z,Seoul\n\
                   s2,Two,5,,,,\n";
        let done = import(&bench, csv, Format::Csv, false).await.expect("imported");
        assert_eq!(done.created, 2);
        let again = import(&bench, csv, Format::Csv, false).await.expect("imported");
        assert_eq!((again.created, again.updated, again.unchanged), (0, 0, 2));
        let item = bench.store.list_items(None, 0, 1).await.expect("a list").remove(0);
        assert_eq!(item.about.name, "One, two");
        assert_eq!(item.about.attributes["city"], "Seoul");
        bench.accept(&[(item.id, 4)], None).await;
        let fences = bench.own_all(super::bench::PARTITIONS, "a").await.into_iter().collect();
        let due = bench
            .store
            .due(
                &(0..super::bench::PARTITIONS)
                    .map(crate::domain::fence::Partition::new)
                    .collect::<std::collections::BTreeSet<_>>(),
                super::bench::now().plus(std::time::Duration::from_secs(5)),
                10,
            )
            .await
            .expect("due");
        let work: Vec<_> = due
            .into_iter()
            .map(|due| crate::apply_batch::Work {
                id: due.id,
                partition: due.partition,
                answer: None,
            })
            .collect();
        let policy = super::bench::POLICY;
        crate::apply_batch::apply(&bench.store, &fences, &work, &policy, super::bench::now())
            .await
            .expect("applied");
        // What is held stays; below that it cannot go.
        let more = "sku,name,quantity\ns1,Renamed,12\n";
        let done = import(&bench, more, Format::Csv, false).await.expect("imported");
        assert_eq!((done.created, done.updated), (0, 1));
        let stock = bench.stock(item.id).await;
        assert_eq!((stock.quantity(), stock.available(), stock.held()), (12, 8, 4));
        let less = "sku,name,quantity\ns2,New,1\ns1,Renamed,3\n";
        let Err(ImportError::BadLines(bad)) = import(&bench, less, Format::Csv, false).await else {
            panic!("four are held");
        };
        let reason = "quantity must be at least 4: so many are held or sold already".to_owned();
        assert_eq!(bad.first, [BadLine { line: 3, reason }]);
        let two = bench.store.list_items(Query::parse("s2").as_ref(), 0, 1).await.expect("a list");
        assert_eq!(two[0].about.name, "Two", "all or nothing");
    }
}

#[tokio::test]
async fn csv_mistakes_are_named() {
    let bench = Bench::sqlite().await;
    let head = import(&bench, "sku,title\na,b\n", Format::Csv, true).await;
    assert!(matches!(head, Err(ImportError::File(_))), "{head:?}");
    let csv = "name,quantity,price_minor,currency\nA,x,,\nB,1,5,\nC,1\nD,1,5,KRW\n";
    let done = import(&bench, csv, Format::Csv, true).await.expect("imported");
    assert_eq!(done.created, 1);
    let lines: Vec<u64> = done.bad.first.iter().map(|bad| bad.line).collect();
    assert_eq!(lines, [2, 3, 4], "{:?}", done.bad);
}
