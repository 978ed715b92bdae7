package account

import (
	"bytes"
	"fmt"
	"html/template"
	"strings"

	"rsc.io/qr"
)

// metaAddress is the name under which a page says the grid's address, which people do not read: the square code has it too.
const metaAddress = "cairn-grid-address"

// quietZone is how many modules of light surround a code, as its standard (ISO/IEC 18004) wants.
const quietZone = 4

// maxCode is the longest text that fits into a code, in capitals.
const maxCode = 4000

// HTML returns the sheet as a page of its own that needs nothing else, and prints on one page of paper.
func (s Sheet) HTML() ([]byte, error) {
	code, err := s.drawing()
	if err != nil {
		return nil, fmt.Errorf("recovery sheet: %w", err)
	}
	words := s.words()
	rows := make([][]string, Words/4)
	for i := range rows {
		for c := range 4 {
			n := c*len(rows) + i
			rows[i] = append(rows[i], fmt.Sprintf("%d. %s", n+1, words[n]))
		}
	}
	var b bytes.Buffer
	err = page.Execute(&b, map[string]any{
		"Sheet": s, "Made": s.Made.Format("2 January 2006"), "Rows": rows, "Blank": s.Phrase == nil, "Code": code,
		"Facts": [][2]string{{"Nickname", orBlank(s.Nickname)}, {"Account", orBlank(s.Account)}, {"Grid", orBlank(s.Grid)}, {"Grid id", orBlank(s.GridID)}},
	})
	if err != nil {
		return nil, fmt.Errorf("recovery sheet: %w", err)
	}
	return b.Bytes(), nil
}

// drawing returns the square code as an SVG, nothing where it would say nothing.
func (s Sheet) drawing() (template.HTML, error) {
	text := s.Code()
	if text == "" || len(text) > maxCode {
		return "", nil
	}
	code, err := qr.Encode(text, qr.L)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	size := code.Size + 2*quietZone
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" shape-rendering="crispEdges" role="img" aria-label="square code"><path fill="#fff" d="M0 0h%[1]dv%[1]dH0z"/><path d="`, size, size)
	for y := range code.Size {
		for x := 0; x < code.Size; x++ {
			n := 0
			for x+n < code.Size && code.Black(x+n, y) {
				n++
			}
			if n > 0 {
				fmt.Fprintf(&b, "M%d %dh%dv1h-%dz", x+quietZone, y+quietZone, n, n)
				x += n
			}
		}
	}
	b.WriteString(`"/></svg>`)
	return template.HTML(b.String()), nil // numbers alone
}

var page = template.Must(template.New("sheet").Parse(`<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>Cairn recovery sheet</title>
{{with .Sheet.Address}}<meta name="` + metaAddress + `" content="{{.}}">
{{end}}<style>
@page { margin: 14mm }
body { font: 11pt/1.4 Georgia, "Times New Roman", serif; color: #000; background: #fff; max-width: 178mm; margin: 0 auto; padding: 6mm }
h1 { font-size: 17pt; margin: 0 0 3mm } h2 { font-size: 12pt; margin: 5mm 0 2mm; border-bottom: 0.3mm solid #000 }
p { margin: 0 0 2mm } code, td, .mono { font-family: "DejaVu Sans Mono", Menlo, Consolas, monospace }
table { border-collapse: collapse; width: 100% } .facts th { text-align: left; font-weight: normal; width: 26mm; vertical-align: top }
.facts td { word-break: break-all; font-size: 9.5pt } .words td { border: 0.2mm solid #888; padding: 1.6mm 2mm; font-size: 11pt; width: 25% }
.words.blank td { padding: 2.4mm 2mm; color: #555; font-size: 9pt } .side { display: flex; gap: 6mm; align-items: flex-start }
.side svg { width: 66mm; height: 66mm; flex: none } .warn { border: 0.5mm solid #000; padding: 2mm 3mm }
.members { list-style: none; padding: 0; margin: 0; font-size: 8.5pt } .members li { margin: 0 0 1.5mm } .members code { word-break: break-all }
@media print { body { padding: 0 } }
</style>
</head>
<body>
<h1>Cairn recovery sheet</h1>
<table class="facts">{{range .Facts}}<tr><th>{{index . 0}}</th><td>{{index . 1}}</td></tr>{{end}}<tr><th>Made on</th><td>{{.Made}}</td></tr></table>
<h2>Recovery phrase</h2>
<table class="words{{if .Blank}} blank{{end}}">{{range .Rows}}<tr>{{range .}}<td>{{.}}</td>{{end}}</tr>{{end}}</table>
<p></p>
<p class="warn">These 24 words are the account: whoever has them can read, change and delete everything in it. Keep this sheet where you keep your
passport, and a second one in another house.{{if .Blank}} Write the words that the program showed you on the lines.{{end}}</p>
<h2>On a new machine</h2>
<div class="side">
<div>
<p>Install Cairn. Scan the square into a file and type <code>cairn recover --sheet FILE</code>, or give the address of any member that runs:
<code>cairn recover ADDRESS</code>.</p>
{{if .Sheet.Members}}<ul class="members">{{range .Sheet.Members}}<li>{{.Name}}<br><code>{{.Address}}</code></li>{{end}}</ul>{{end}}
<p>If none of them answers, ask any member for an invitation: <code>cairn recover INVITATION</code> takes the address from it, and leaves the
invitation to somebody else.</p>
</div>
{{.Code}}
</div>
</body>
</html>
`))
