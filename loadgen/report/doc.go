// Package report shows what load runs measured: as a table, as JSON, as one page
// that needs no network, as a picture and as histograms; and compares the reports
// of several runs. Its functions hold no state and start nothing.
//
// Reports may come from anywhere, and hold what targets answered: all of their
// text is data, on the page and in the terminal. docs/report.md describes the
// files.
package report
