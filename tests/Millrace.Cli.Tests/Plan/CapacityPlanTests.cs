using System.CommandLine;
using Millrace.Cli.Plan;

namespace Millrace.Cli.Tests.Plan;

/// <summary>Plans whose numbers are worked out here by hand.</summary>
public sealed class CapacityPlanTests
{
    private static readonly PlanInput Large = new() { Throughput = 200e6, Consumers = 40, Retention = TimeSpan.FromDays(7) };

    [Fact]
    public void Two_hundred_megabytes_a_second_for_a_week()
    {
        var plan = CapacityPlan.For(Large);

        // 400 MB/s at the peak over 10 MB/s a partition: 40, which the 40 consumers want too.
        Assert.Equal(40, plan.Partitions);

        // 200 MB/s x 604,800 s x 3 = 362.88 TB; a broker takes 4 TB x 70 % = 2.8 TB: 129.6, so 130, and one that may be down.
        Assert.Equal(362.88e12, plan.TotalDisk, 1e6);
        Assert.Equal(131, plan.Brokers);
        Assert.Equal("the disks' size", plan.BrokersBecause);
        Assert.Equal(362.88e12 / 131 / 0.7, plan.DiskPerBroker, 1.0);

        // 400 MB/s x 3 over the 130 that are up; out to 2 followers and 1 group as much.
        Assert.Equal(1200e6 / 130, plan.DiskWritePerBroker, 1.0);
        Assert.Equal(1200e6 / 130, plan.NetworkInPerBroker, 1.0);
        Assert.Equal(1200e6 / 130, plan.NetworkOutPerBroker, 1.0);
    }

    [Fact]
    public void A_small_load_still_has_three_brokers_for_three_replicas()
    {
        var plan = CapacityPlan.For(new PlanInput { Throughput = 5e6, Consumers = 6, Retention = TimeSpan.FromDays(1), Groups = 2, Disk = 1e12 });

        // 1 partition for 10 MB/s, 6 for the consumers. 5 MB/s x 86,400 s x 3 = 1.296 TB over 0.7 TB: 2 brokers and a spare.
        Assert.Equal(6, plan.Partitions);
        Assert.Equal(3, plan.Brokers);

        // Out: 10 MB/s x (2 followers + 2 groups) over the 2 that are up.
        Assert.Equal(20e6, plan.NetworkOutPerBroker, 1.0);
        Assert.Equal(15e6, plan.NetworkInPerBroker, 1.0);
    }

    [Fact]
    public void Slow_consumers_and_even_shares_raise_the_partitions()
    {
        var plan = CapacityPlan.For(new PlanInput { Throughput = 10e6, Peak = 1, Consumers = 4, ConsumerThroughput = 1e6, Retention = TimeSpan.FromHours(1) });

        // 10 consumers' worth of work; 12 is the next multiple of 4.
        Assert.Equal(12, plan.Partitions);
        Assert.Contains(plan.Remarks, remark => remark.Contains("4 consumers work off 4 MB/s", StringComparison.Ordinal));
    }

    [Fact]
    public void Each_limit_can_be_the_one_that_decides()
    {
        // 1,200 MB/s over 250 MB/s: 4.8, so 5 and a spare.
        var disks = CapacityPlan.For(Large with { Retention = TimeSpan.FromHours(1) });
        Assert.Equal(("the disks' speed", 6), (disks.BrokersBecause, disks.Brokers));

        // 400 MB/s x (2 + 10 groups) = 4.8 GB/s over 1.25 GB/s x 60 %: 6.4, so 7 and a spare.
        var network = CapacityPlan.For(Large with { Retention = TimeSpan.FromHours(1), Groups = 10 });
        Assert.Equal(("the network", 8), (network.BrokersBecause, network.Brokers));

        // 40,000 consumers: 120,000 replicas over 4,000 a broker.
        var partitions = CapacityPlan.For(new PlanInput { Throughput = 1e6, Consumers = 40_000, Retention = TimeSpan.FromMinutes(1) });
        Assert.Equal(("the number of partitions", 31), (partitions.BrokersBecause, partitions.Brokers));
        var many = CapacityPlan.For(new PlanInput { Throughput = 1e6, Consumers = 1_000_000, Replication = 3_000, Retention = TimeSpan.FromMinutes(1) });
        Assert.Equal(("the number of partitions", 750_001), (many.BrokersBecause, many.Brokers));
        var replicas = CapacityPlan.For(new PlanInput { Throughput = 1e6, Consumers = 1, Retention = TimeSpan.FromMinutes(1) });
        Assert.Equal(("the replicas", 3), (replicas.BrokersBecause, replicas.Brokers));
    }

    [Fact]
    public void The_arithmetic_is_told_line_by_line_with_what_was_assumed_and_what_was_said()
    {
        var output = new StringWriter();
        Command command = PlanCommand.Create();
        int exitCode = command.Parse(["--throughput", "200MB/s", "--consumers", "40", "--retention", "7d", "--disk", "16TB"])
            .Invoke(new InvocationConfiguration { Output = output });
        Assert.Equal(0, exitCode);
        string text = output.ToString();
        Assert.Contains("40 partitions with 3 replicas on 34 brokers", text);
        Assert.Contains("= 200 MB/s x 7 d x 3 replicas = 362.88 TB", text);
        Assert.Contains("= 362.88 TB / (16 TB x 70 %) = 33", text);
        Assert.Contains("= 400 MB/s / 10 MB/s a partition = 40", text);
        Assert.Contains("--disk: a broker has 16 TB of disk (given)", text);
        Assert.Contains("--peak: the busiest minutes are 2 times the average\n", text.ReplaceLineEndings("\n"));
        Assert.Contains("--partitions 40 --replication-factor 3 --config retention.ms=604800000 --config min.insync.replicas=2", text);
    }

    [Theory]
    [InlineData("1KB", 1000)]
    [InlineData("1 KiB", 1024)]
    [InlineData("16MiB", 16 * 1048576)]
    [InlineData("1.5TB", 1.5e12)]
    [InlineData("100B", 100)]
    public void Sizes_are_read(string text, double expected)
    {
        Assert.True(Quantities.TryParseSize(text, out double bytes, out string error), error);
        Assert.Equal(expected, bytes, 1e-3);
    }

    [Theory]
    [InlineData("200MB/s", 200e6)]
    [InlineData("50MiB/s", 50 * 1048576)]
    [InlineData("10Gbit/s", 1.25e9)]
    [InlineData("10Gbps", 1.25e9)]
    [InlineData("800kbit/s", 1e5)]
    [InlineData("1,200.5MB/s", 1200.5e6)]
    [InlineData("1,000,000B/s", 1e6)]
    public void Rates_are_read(string text, double expected)
    {
        Assert.True(Quantities.TryParseRate(text, out double rate, out string error), error);
        Assert.Equal(expected, rate, 1e-3);
    }

    [Theory]
    [InlineData("7d", 604800)]
    [InlineData("36h", 129600)]
    [InlineData("90min", 5400)]
    [InlineData("2w", 1209600)]
    public void Times_are_read(string text, double seconds)
    {
        Assert.True(Quantities.TryParseDuration(text, out TimeSpan duration, out string error), error);
        Assert.Equal(seconds, duration.TotalSeconds, 1e-3);
    }

    [Theory]
    [InlineData("--throughput", "200MB", "says no time. Write /s at the end")]
    [InlineData("--throughput", "fast", "says no time")]
    [InlineData("--throughput", "fast/s", "begin with a number above 0")]
    [InlineData("--throughput", "0MB/s", "begin with a number above 0")]
    [InlineData("--throughput", "2,5GB/s", "commas stand between thousands")]
    [InlineData("--throughput", "1,0000MB/s", "commas stand between thousands")]
    [InlineData("--throughput", "1000,000MB/s", "commas stand between thousands")]
    [InlineData("--throughput", "5mb/s", "'mb' is no unit of it. Units are B, KB")]
    [InlineData("--throughput", "-5MB/s", "begin with a number above 0")]
    [InlineData("--retention", "7", "it has no unit. Units are ms, s, m")]
    [InlineData("--retention", "7MB", "'MB' is no unit of it")]
    [InlineData("--retention", "99999999w", "more than a hundred years")]
    [InlineData("--consumers", "many", "is not a whole number from 1")]
    [InlineData("--consumers", "0", "is not a whole number from 1")]
    [InlineData("--disk", "4T", "'T' is no unit of it")]
    [InlineData("--disk-fill", "1.5", "is not a number above 0 to 1")]
    [InlineData("--peak", "0.5", "is not a number from 1 to 1000")]
    [InlineData("--network", "10G", "says no time")]
    public void What_is_no_amount_is_refused_with_what_would_be_one(string option, string text, string expected)
    {
        var arguments = new Dictionary<string, string> { ["--throughput"] = "1MB/s", ["--consumers"] = "1", ["--retention"] = "1d", [option] = text };
        ParseResult parsed = PlanCommand.Create().Parse([.. arguments.Select(argument => $"{argument.Key}={argument.Value}")]);
        Assert.Contains(expected, string.Join('\n', parsed.Errors.Select(error => error.Message)), StringComparison.Ordinal);
    }
}
