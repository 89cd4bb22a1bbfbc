using System.CommandLine;
using Microsoft.Extensions.Logging.Abstractions;
using Millrace.Kafka;
using Millrace.Kafka.Records;

namespace Millrace.Cli.Doctor;

/// <summary><c>millrace doctor</c>: looks at a cluster, changes nothing, and tells what production practice would have otherwise.</summary>
internal static class DoctorCommand
{
    /// <summary>The cluster could not be looked at; nothing is known of its health.</summary>
    public const int Unreachable = 3;

    public static Command Create()
    {
        Option<string?> bootstrap = new("--bootstrap")
        {
            Description = "One or more brokers of the cluster, with commas between them; may stand in --config as bootstrap.servers instead.",
            HelpName = "HOST:PORT",
        };
        Option<string?> config = new("--config") { Description = "A properties file with the client's settings, as Kafka's tools take it by --command-config.", HelpName = "FILE" };
        Option<string[]> application = new("--application")
        {
            Description = "A file with the settings of the application's producers: properties of a Kafka client, or JSON such as appsettings.json. May be given several times.",
            HelpName = "FILE",
            AllowMultipleArgumentsPerToken = false,
        };
        Option<bool> probe = new("--probe-clock")
        {
            Description = "Read the brokers' clocks: makes a topic with a partition on each broker, writes a few records to each, and deletes it. Without it nothing is written.",
        };
        Option<string?> reassignment = new("--reassignment-file")
        {
            Description = "Write the plan that gives every partition three replicas here, for kafka-reassign-partitions.sh.", HelpName = "FILE",
        };
        Option<int> timeout = new("--timeout") { Description = "How long one question may take, retries included.", HelpName = "SECONDS", DefaultValueFactory = _ => 15 };
        timeout.Validators.Add(result =>
        {
            if (result.Tokens.Count > 0 && (!int.TryParse(result.Tokens[0].Value, out int seconds) || seconds < 1))
            {
                result.AddError("--timeout is a number of seconds, at least 1.");
            }
        });
        Option<bool> json = new("--json") { Description = "Findings as JSON." };
        Command command = new(
            "doctor",
            "Checks a cluster and its topics against production practice: what is wrong, why it matters, and the command that mends it. Changes nothing. Ends with 0 if "
            + "nothing needs to be mended, with 1 at warnings, with 2 at errors, and with 3 if the cluster cannot be looked at.")
        {
            bootstrap, config, application, probe, reassignment, timeout, json,
        };
        command.Validators.Add(result =>
        {
            if (result.GetValue(bootstrap) is null && result.GetValue(config) is null)
            {
                result.AddError("Say which cluster: --bootstrap HOST:PORT, or --config FILE with bootstrap.servers in it.");
            }
        });
        command.SetAction((parsed, cancellationToken) => RunAsync(
            new Arguments(
                parsed.GetValue(bootstrap),
                parsed.GetValue(config),
                parsed.GetValue(application) ?? [],
                parsed.GetValue(probe),
                parsed.GetValue(reassignment),
                TimeSpan.FromSeconds(parsed.GetValue(timeout)),
                parsed.GetValue(json)),
            parsed.InvocationConfiguration,
            TimeProvider.System,
            cancellationToken));
        return command;
    }

    private sealed record Arguments(
        string? Bootstrap, string? ConfigFile, IReadOnlyList<string> ApplicationFiles, bool ProbesClocks, string? ReassignmentFile, TimeSpan Timeout, bool IsJson);

    private static async Task<int> RunAsync(Arguments arguments, InvocationConfiguration console, TimeProvider time, CancellationToken cancellationToken)
    {
        var options = new KafkaClientOptions { ClientId = "millrace-doctor", AllowAutoCreateTopics = false, ApiTimeout = arguments.Timeout };
        var producers = new List<ProducerConfiguration>();
        try
        {
            if (arguments.ConfigFile is not null)
            {
                IReadOnlyList<string> unknown = ClientProperties.Apply(
                    PropertiesFile.ParseStrictly(arguments.ConfigFile, await ReadFileAsync(arguments.ConfigFile, cancellationToken)), options);
                if (unknown.Count > 0)
                {
                    await console.Error.WriteLineAsync($"The doctor knows nothing of these settings in {arguments.ConfigFile}, and leaves them: {string.Join(", ", unknown)}.");
                }
            }

            options.BootstrapServers = arguments.Bootstrap ?? options.BootstrapServers;
            foreach (string file in arguments.ApplicationFiles)
            {
                producers.AddRange(ProducerFiles.Read(file, await ReadFileAsync(file, cancellationToken)));
            }
        }
        catch (Exception failure) when (failure is IOException or UnauthorizedAccessException or FormatException)
        {
            await console.Error.WriteLineAsync(failure.Message);
            return ExitCode.Usage;
        }

        try
        {
            await using var client = new KafkaClient(options, time, NullLoggerFactory.Instance);
            ClusterSnapshot cluster = await new ClusterReader(client.Admin, time).ReadAsync(cancellationToken) with { Producers = producers };
            if (arguments.ProbesClocks)
            {
                cluster = await WithClocksAsync(cluster, client, time, cancellationToken);
            }

            return await ReportAsync(cluster, arguments, options.BootstrapServers, console);
        }
        catch (ArgumentException failure)
        {
            await console.Error.WriteLineAsync(PropertyNames.OfClient(failure.Message));
            return ExitCode.Usage;
        }
        catch (KafkaException failure)
        {
            await console.Error.WriteLineAsync($"The cluster at {options.BootstrapServers} cannot be looked at. {PropertyNames.OfClient(failure.Message)}");
            return Unreachable;
        }
    }

    private static async Task<ClusterSnapshot> WithClocksAsync(ClusterSnapshot cluster, KafkaClient client, TimeProvider time, CancellationToken cancellationToken)
    {
        try
        {
            return cluster with { Clocks = await new ClockProbe(client, time).ReadAsync([.. cluster.Brokers.Select(broker => broker.Id)], cancellationToken) };
        }
        catch (KafkaException failure)
        {
            return cluster with { Clocks = [], Gaps = [.. cluster.Gaps, $"The brokers' clocks could not be read. {failure.Message}"] };
        }
    }

    private static async Task<int> ReportAsync(ClusterSnapshot cluster, Arguments arguments, string bootstrap, InvocationConfiguration console)
    {
        var remedies = new RemedyContext(bootstrap, arguments.ConfigFile, arguments.ReassignmentFile);
        IReadOnlyList<Finding> findings = DoctorRules.Examine(cluster, remedies);
        string? written = null;
        if (arguments.ReassignmentFile is { } file)
        {
            try
            {
                written = await WriteReassignmentAsync(file, cluster, remedies);
            }
            catch (Exception failure) when (failure is IOException or UnauthorizedAccessException)
            {
                await console.Error.WriteLineAsync(failure.Message);
                return ExitCode.Usage;
            }
        }

        if (arguments.IsJson)
        {
            DoctorReport.WriteJson(console.Output, cluster, findings);
        }
        else
        {
            DoctorReport.WriteText(console.Output, cluster, findings);
        }

        if (written is not null)
        {
            await (arguments.IsJson ? console.Error : console.Output).WriteLineAsync(written);
        }

        return DoctorReport.ExitCodeOf(findings);
    }

    /// <summary>Writes the plan for more replicas, where there is one.</summary>
    /// <returns>What was done, in a sentence.</returns>
    private static async Task<string> WriteReassignmentAsync(string file, ClusterSnapshot cluster, RemedyContext remedies)
    {
        Dictionary<TopicPartition, IReadOnlyList<int>> plan = ReplicaRules.MoreReplicas(cluster);
        if (plan.Count == 0)
        {
            return $"{file} was not written: no partition can have more replicas than it has on {Text.Counted(cluster.Brokers.Count, "broker")}.";
        }

        await using var writer = new StreamWriter(file);
        await writer.WriteLineAsync(DoctorReport.ReassignmentJson(plan));
        return $"{file} has the plan for more replicas of {Text.Counted(plan.Count, "partition")}. {remedies.Reassign()} carries it out.";
    }

    private static async Task<string> ReadFileAsync(string path, CancellationToken cancellationToken)
    {
        using var reader = new StreamReader(path);
        return await reader.ReadToEndAsync(cancellationToken);
    }
}
