package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"text/tabwriter"

	"overtake/gateway/config"
	"overtake/gateway/socket/qdisc"
)

// qdiscCommands are what overtake qdisc can do.
type qdiscCommands struct {
	Show   qdiscShowCommand   `cmd:"" help:"Show in which of a device's queues each class waits."`
	Apply  qdiscApplyCommand  `cmd:"" help:"Build queues for the classes on a device."`
	Remove qdiscRemoveCommand `cmd:"" help:"Remove what apply built."`
}

// Help implements kong.HelpProvider.
func (*qdiscCommands) Help() string {
	return `Example:
  overtake qdisc show --dev eth0`
}

// qdiscClasses are the classes of a file, or those that the docs recommend.
type qdiscClasses struct {
	Config string `short:"c" placeholder:"FILE" help:"Configuration file with the classes and their socket options (default: what OVERTAKE_CONFIG names, else three classes: priority 6 and AF21, nothing, priority 1 and LE)."`
}

func (o qdiscClasses) classes() ([]qdisc.Class, error) {
	process, err := config.ProcessFromEnv()
	if err != nil {
		return nil, &usageError{err}
	}
	file := config.Process{Config: o.Config}.Over(process).Config
	if file == "" {
		cfg, err := config.Default("http://127.0.0.1:9000")
		if err != nil {
			return nil, err
		}
		classes := kernelClasses(cfg, cfg.SocketOptions())
		urgent, lazy := &classes[0], &classes[len(classes)-1]
		urgent.Priority, urgent.DSCP = new(6), new(18) // AF21
		lazy.Priority, lazy.DSCP = new(1), new(1)      // LE
		return classes, nil
	}
	cfg, err := config.Load(file, os.LookupEnv)
	if err != nil {
		return nil, err
	}
	return kernelClasses(cfg, cfg.SocketOptions()), nil
}

type qdiscShowCommand struct {
	Dev string `required:"" placeholder:"IF" help:"Network device."`
	qdiscClasses
}

// Help implements kong.HelpProvider.
func (*qdiscShowCommand) Help() string {
	return `Which queue a packet waits in follows from the marks of its class (SO_PRIORITY, DSCP, SO_MARK) and the kind of queue that the device has. Devices without a queue, such as loopback, ignore marks. It needs no privilege.

Example:
  overtake qdisc show --dev eth0 -c overtake.yaml`
}

// Run prints one line per class.
func (c *qdiscShowCommand) Run() error {
	classes, err := c.classes()
	if err != nil {
		return err
	}
	tree, err := qdisc.Read(c.Dev)
	if err != nil {
		return asUsage(err)
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "class\tmarks\tqdisc\tband\tsent\twaiting\tdropped\ttrouble")
	for _, l := range tree.Land(classes) {
		counts := "\t\t"
		if l.Counters != nil {
			counts = fmt.Sprintf("%d\t%d\t%d", l.Counters.Packets, l.Counters.Waiting, l.Counters.Drops)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", l.Class, l.Marks, l.Qdisc, l.Band, counts, l.Trouble)
	}
	return w.Flush()
}

// flagRate is a rate in bytes per second; 0 is for what was not given.
type flagRate uint64

// UnmarshalText implements encoding.TextUnmarshaler.
func (r *flagRate) UnmarshalText(text []byte) error {
	rate, err := config.ParseRate(string(text))
	if err != nil {
		return err
	}
	*r = max(1, flagRate(rate/8))
	return nil
}

type qdiscApplyCommand struct {
	Dev    string   `required:"" placeholder:"IF" help:"Network device."`
	Rate   flagRate `placeholder:"RATE" help:"What the device can send, 100kbit to 1tbit, such as 100mbit or 1gbit (default: its speed, as ethtool says)."`
	DryRun bool     `help:"Print the tc commands that would do it, and change nothing. Where apply uses a program for a priority or a mark, they have a filter that not every kernel has."`
	Force  bool     `help:"Replace queues that somebody else made; remove does not bring them back."`
	qdiscClasses
}

// Help implements kong.HelpProvider.
func (*qdiscApplyCommand) Help() string {
	return `It builds an HTB tree with one branch per class: the most urgent is served first up to what the floors of the others leave, the others get at least their floor, and everybody may use the whole rate when nobody else does. Give a rate just below that of the slowest link on the way, so that packets wait here, in class order. What is there already is left alone; what has changed is built anew. It needs CAP_NET_ADMIN, and CAP_BPF for classes that only a priority or a mark tells apart.

Examples:
  overtake qdisc apply --dev eth0 --rate 1gbit -c overtake.yaml
  overtake qdisc apply --dev eth0 --rate 95mbit --dry-run`
}

// Run builds the queues, or prints how.
func (c *qdiscApplyCommand) Run(ctx context.Context) error {
	settings := qdisc.Settings{Force: c.Force, Rate: uint64(c.Rate)}
	var err error
	if settings.Classes, err = c.classes(); err != nil {
		return err
	}
	if c.DryRun {
		return printChange(qdisc.Prepare(c.Dev, settings))
	}
	return doneChange(qdisc.Apply(ctx, c.Dev, settings))
}

type qdiscRemoveCommand struct {
	Dev    string `required:"" placeholder:"IF" help:"Network device."`
	DryRun bool   `help:"Print the tc command that would do it, and change nothing."`
}

// Help implements kong.HelpProvider.
func (*qdiscRemoveCommand) Help() string {
	return `The kernel puts its default queue in the place. Queues that somebody else made are left alone. It needs CAP_NET_ADMIN.

Example:
  overtake qdisc remove --dev eth0`
}

// Run removes the queues, or prints how.
func (c *qdiscRemoveCommand) Run(ctx context.Context) error {
	if c.DryRun {
		return printChange(qdisc.PrepareRemove(c.Dev))
	}
	return doneChange(qdisc.Remove(ctx, c.Dev))
}

// printChange prints the commands for a change, which a shell can run.
func printChange(change qdisc.Change, err error) error {
	if err != nil {
		return asUsage(err)
	}
	commands := change.Commands()
	if len(commands) == 0 {
		fmt.Println("# " + change.Done())
	}
	for _, command := range commands {
		fmt.Println(command)
	}
	return nil
}

func doneChange(change qdisc.Change, err error) error {
	if err != nil {
		return asUsage(err)
	}
	fmt.Println(change.Done())
	return nil
}

// asUsage makes an error about what was asked for one of wrong use.
func asUsage(err error) error {
	var use *qdisc.UseError
	if errors.As(err, &use) {
		return &usageError{err}
	}
	return err
}
