using System.CommandLine;
using System.Net;
using System.Net.Sockets;
using System.Runtime.InteropServices;
using Microsoft.Extensions.Logging;
using Millrace.Broker;
using Millrace.Log;

namespace Millrace.Cli;

/// <summary><c>millrace serve</c>: the broker as a process of its own.</summary>
internal static class ServeCommand
{
    private const string DefaultListen = "127.0.0.1:9092";

    public static Command Create()
    {
        Option<string> data = new("--data")
        {
            Description = "The directory that holds the broker's data; made if it does not exist.",
            HelpName = "DIR",
            Required = true,
        };
        data.Validators.Add(result =>
        {
            if (result.Tokens.Count > 0 && string.IsNullOrWhiteSpace(result.Tokens[0].Value))
            {
                result.AddError("--data is empty; name a directory.");
            }
        });
        Option<HostPort> listen = AddressOption(
            "--listen",
            "The address to listen on; port 0 takes a free one. Give 0.0.0.0:9092 to be reachable from other machines.");
        listen.DefaultValueFactory = _ => new HostPort("127.0.0.1", 9092);
        Option<HostPort?> advertise = AddressOption(
            "--advertise",
            "The address that clients are told to connect to, where it differs from the one listened on.")!;
        Option<int> partitions = new("--partitions")
        {
            Description = "How many partitions a topic gets when its creator does not say (Kafka's num.partitions).",
            HelpName = "N",
            DefaultValueFactory = _ => 1,
        };

        Option<Dictionary<string, string>> set = SettingsOption();

        Command command = new("serve", "Runs a broker that Kafka clients can connect to, until it is told to stop.")
        {
            data, listen, advertise, partitions, set,
        };
        command.SetAction((parsed, cancellationToken) =>
        {
            HostPort? advertised = parsed.GetValue(advertise);
            BrokerOptions options = new()
            {
                DataDirectory = Path.GetFullPath(parsed.GetRequiredValue(data)),
                AdvertisedHost = advertised?.Host,
                AdvertisedPort = advertised?.Port,
                DefaultPartitionCount = parsed.GetValue(partitions),
            };
            if (!BrokerSettings.TryApply(options, parsed.GetValue(set) ?? [], out string? error))
            {
                throw new InvalidOperationException(error);
            }

            return ServeAsync(options, parsed.GetRequiredValue(listen), parsed.InvocationConfiguration, cancellationToken);
        });
        return command;
    }

    private static async Task<int> ServeAsync(
        BrokerOptions options, HostPort listen, InvocationConfiguration console, CancellationToken cancellationToken)
    {
        using StopSignal stop = new();
        using ILoggerFactory loggers = LoggerFactory.Create(logging => logging
            .SetMinimumLevel(LogLevel.Information)
            .AddSimpleConsole(format =>
            {
                format.SingleLine = true;
                format.UseUtcTimestamp = true;
                format.TimestampFormat = "yyyy-MM-ddTHH:mm:ss.fffZ ";
            })
            .AddConsole(provider => provider.LogToStandardErrorThreshold = LogLevel.Trace));

        KafkaBroker broker;
        try
        {
            options.Listen = await listen.ResolveAsync(cancellationToken);
            broker = await KafkaBroker.StartAsync(options, new FileStorage(), TimeProvider.System, loggers, stop.Token);
        }
        catch (SocketException failure)
        {
            await console.Error.WriteLineAsync($"'{listen.Host}' in --listen {listen} cannot be resolved: {failure.Message}.");
            return ExitCode.Failure;
        }
        catch (BrokerStartException failure)
        {
            await console.Error.WriteLineAsync(failure.Message);
            return ExitCode.Failure;
        }
        catch (OperationCanceledException) when (stop.Token.IsCancellationRequested)
        {
            return ExitCode.Success;
        }

        await using (broker)
        {
            IPEndPoint endPoint = broker.ListenEndPoint ?? options.Listen;
            await console.Output.WriteLineAsync(
                $"Millrace is listening on {endPoint}, data in {options.DataDirectory}. Press Ctrl-C to stop.");
            await console.Output.FlushAsync(cancellationToken);
            await stop.Requested;
            await broker.StopAsync(CancellationToken.None);
        }

        if (!broker.WasStoppedCleanly)
        {
            await console.Error.WriteLineAsync(
                "Millrace has stopped, and could not close its files cleanly: the lines above say why. What was acknowledged as on the disk is there; the next start recovers the rest.");
            return ExitCode.Failure;
        }

        await console.Output.WriteLineAsync("Millrace has stopped; everything is on the disk.");
        return ExitCode.Success;
    }

    private static Option<Dictionary<string, string>> SettingsOption() => new("--set")
    {
        Description = "A setting of the broker by Kafka's name for it, such as log.retention.ms=3600000; may be given several times.",
        HelpName = "NAME=VALUE",
        Arity = ArgumentArity.OneOrMore,
        AllowMultipleArgumentsPerToken = false,
        CustomParser = result =>
        {
            Dictionary<string, string> settings = new(StringComparer.Ordinal);
            foreach (string text in result.Tokens.Select(static token => token.Value))
            {
                int equals = text.IndexOf('=', StringComparison.Ordinal);
                if (equals <= 0)
                {
                    result.AddError($"'{text}' is no setting for --set; write NAME=VALUE, for example log.retention.ms=3600000.");
                }
                else if (!settings.TryAdd(text[..equals].Trim(), text[(equals + 1)..]))
                {
                    result.AddError($"--set {text[..equals]} is given twice.");
                }
            }

            if (!BrokerSettings.TryApply(new BrokerOptions(), settings, out string? error))
            {
                result.AddError(error);
            }

            return settings;
        },
    };

    private static Option<HostPort> AddressOption(string name, string description) => new(name)
    {
        Description = description,
        HelpName = "HOST:PORT",
        CustomParser = result =>
        {
            string text = result.Tokens[0].Value;
            if (HostPort.TryParse(text, out HostPort? address))
            {
                return address;
            }

            result.AddError($"'{text}' is not an address for {name}; write HOST:PORT, for example {DefaultListen}.");
            return null;
        },
    };

    /// <summary>SIGINT or SIGTERM. Repeats change nothing: supervisors send the signal to a process and again to its group.</summary>
    private sealed class StopSignal : IDisposable
    {
        private readonly CancellationTokenSource _source = new();
        private readonly TaskCompletionSource _requested = new(TaskCreationOptions.RunContinuationsAsynchronously);
        private readonly PosixSignalRegistration _interrupt;
        private readonly PosixSignalRegistration _terminate;

        public StopSignal()
        {
            _interrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, Request);
            _terminate = PosixSignalRegistration.Create(PosixSignal.SIGTERM, Request);
        }

        public CancellationToken Token => _source.Token;

        public Task Requested => _requested.Task;

        public void Dispose()
        {
            _interrupt.Dispose();
            _terminate.Dispose();
            _source.Dispose();
        }

        private void Request(PosixSignalContext context)
        {
            context.Cancel = true;
            if (_requested.TrySetResult())
            {
                _source.Cancel();
            }
        }
    }
}
