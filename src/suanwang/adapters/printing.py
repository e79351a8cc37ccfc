"""Invoices as PDF.

Owns their look. The same invoice gives the same bytes. Chinese is set in STSong-Light, a font of Adobe's Asian collections
that every reader of PDF brings or replaces, so none is embedded. Needs the optional package `reportlab`.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from suanwang.domain.errors import Unavailable

_FONT = "STSong-Light"
_WORDS: Mapping[str, tuple[str, str]] = {
    "invoice": ("Invoice", "账单"),
    "project": ("Project", "项目"),
    "month": ("Month", "账期"),
    "whose": ("Of", "归属"),
    "task": ("Task", "任务"),
    "owner": ("Owner", "提交人"),
    "site": ("Site", "站点"),
    "provider": ("Provider", "服务商"),
    "core_hours": ("Core-h", "核时"),
    "device_hours": ("Device-h", "卡时"),
    "energy": ("kWh", "电量 kWh"),
    "amount": ("Amount ¥", "金额（元）"),
    "voucher": ("Vouchers ¥", "算力券（元）"),
    "purchase": ("Bought on the market", "市场购买"),
    "credit": ("Credit after a dispute", "争议退款"),
    "total": ("Total", "合计"),
    "due": ("Due from the project", "项目应付"),
    "unsettled": ("Of it not settled yet", "其中未结算"),
}


def invoice_pdf(invoice: Mapping[str, Any], *, chinese: bool) -> bytes:
    """The invoice (`trading.invoicing.invoice`) on A4. Raises `Unavailable` where `reportlab` is not installed."""
    try:
        from reportlab.lib import colors
        from reportlab.lib.pagesizes import A4, landscape
        from reportlab.lib.styles import ParagraphStyle
        from reportlab.pdfbase import pdfmetrics
        from reportlab.pdfbase.cidfonts import UnicodeCIDFont
        from reportlab.platypus import LongTable, Paragraph, SimpleDocTemplate, Spacer, TableStyle
    except ImportError:
        message = "this network makes no PDF: its machine lacks the package `reportlab`; fetch the invoice as data"
        raise Unavailable(message) from None
    pdfmetrics.registerFont(UnicodeCIDFont(_FONT))
    title = ParagraphStyle("title", fontName=_FONT, fontSize=16, leading=22)
    plain = ParagraphStyle("plain", fontName=_FONT, fontSize=9, leading=13)
    cell = ParagraphStyle("cell", parent=plain, fontSize=8, leading=10, wordWrap="CJK")
    look = TableStyle(
        [
            ("FONT", (0, 0), (-1, -1), _FONT, 8),
            ("LINEBELOW", (0, 0), (-1, 0), 0.8, colors.black),
            ("LINEBELOW", (0, 1), (-1, -1), 0.2, colors.lightgrey),
            ("ALIGN", (4, 0), (-1, -1), "RIGHT"),
            ("VALIGN", (0, 0), (-1, -1), "TOP"),
        ]
    )
    head, rows, foot = _head(invoice, chinese), _rows(invoice, chinese), _foot(invoice, chinese)
    set_rows = [rows[0], *([*(Paragraph(_safe(text), cell) for text in row[:4]), *row[4:]] for row in rows[1:])]
    story = [
        Paragraph(_safe(f"{_word('invoice', chinese)} {invoice['number']}"), title),
        *(Paragraph(_safe(line), plain) for line in head),
        Spacer(1, 8),
        LongTable(set_rows, colWidths=[150, 90, 90, 110, 60, 60, 70, 70, 70], repeatRows=1, style=look),
        Spacer(1, 8),
        *(Paragraph(_safe(line), plain) for line in foot),
    ]
    out = io.BytesIO()
    # Invariant: no instant and no chance goes into the file.
    SimpleDocTemplate(out, pagesize=landscape(A4), title=str(invoice["number"]), invariant=1).build(story)
    return out.getvalue()


def _head(invoice: Mapping[str, Any], chinese: bool) -> list[str]:
    labels = ", ".join(str(value) for value in invoice["labels"].values())
    lines = [
        f"{_word('project', chinese)}: {invoice['title']} ({invoice['project']})",
        f"{_word('month', chinese)}: {invoice['month']} ({invoice['zone']}), {invoice['currency']}",
    ]
    return [*lines, f"{_word('whose', chinese)}: {labels}"] if labels else lines


def _rows(invoice: Mapping[str, Any], chinese: bool) -> list[Sequence[str]]:
    names = ("task", "owner", "site", "provider", "core_hours", "device_hours", "energy", "amount", "voucher")
    rows: list[Sequence[str]] = [[_word(name, chinese) for name in names]]
    for line in invoice["lines"]:
        figures = (_short(line["core_hours"]), _short(line["device_hours"]), _short(line["energy_kwh"]))
        money = (_yuan(line["amount_fen"]), _yuan(line["voucher_fen"]))
        rows.append(
            [f"{line['task']} ({line['job']})", line["owner"], line["site"], line["provider"], *figures, *money]
        )
    for bought in invoice["purchases"]:
        name = f"{_word('purchase', chinese)}: {bought['device']} ({bought['trade']})"
        rows.append([name, "", bought["site"], bought["seller"], "", "", "", _yuan(bought["amount_fen"]), _yuan(0)])
    for back in invoice.get("credits", ()):
        name = f"{_word('credit', chinese)}: {back['task']} ({back['usage']})"
        money = (_yuan(back["amount_fen"]), _yuan(back["voucher_fen"]))
        rows.append([name, back["owner"], back["site"], back["provider"], "", "", "", *money])
    return rows


def _foot(invoice: Mapping[str, Any], chinese: bool) -> list[str]:
    lines = (("total", "amount_fen"), ("voucher", "voucher_fen"), ("due", "due_fen"), ("unsettled", "unsettled_fen"))
    return [f"{_word(word, chinese)}: ¥{_yuan(invoice[name])}" for word, name in lines]


def _word(name: str, chinese: bool) -> str:
    return _WORDS[name][chinese]


def _yuan(fen: int) -> str:
    return f"{Decimal(fen) / 100:,.2f}"


def _short(text: str) -> str:
    return f"{Decimal(text):,.3f}"


def _safe(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
