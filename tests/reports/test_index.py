import synthetic

from attnbench.reports.index import write_index


def test_the_index_lists_every_run_newest_first_with_its_report(tmp_path):
    for day in (1, 2):
        run = synthetic.plausible(day, cases=synthetic.model_cases()[:1], created=f"2026-03-0{day}T00:00:00+00:00")
        synthetic.write(run, tmp_path / f"day {day}")
    (tmp_path / "day 2" / "report.html").write_text("")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "run.jsonl").write_text("no header\n")
    text = write_index(tmp_path).read_text()
    assert text.index("2026-03-02") < text.index("2026-03-01")
    assert 'href="day%202/report.html"' in text
    assert "its first line is no header" in text


def test_the_index_of_an_empty_folder_says_so(tmp_path):
    assert "No run was found" in write_index(tmp_path).read_text()


def test_names_in_the_index_are_text(tmp_path):
    synthetic.write(synthetic.nasty(), tmp_path / "nasty")
    assert "<script>alert" not in write_index(tmp_path).read_text()
