using System.CommandLine;
using System.Globalization;
using System.Runtime.InteropServices;
using Microsoft.Extensions.Logging;
using Millrace.Broker;
using Millrace.Log;

namespace Millrace.Cli;

/// <summary><c>millrace serve</c>: the broker as a process of its own.</summary>
internal static class ServeCommand
{
    private static readonly int s_maxPartitionCount = new BrokerOptions().MaxPartitionCount;

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
        ListenerOptionSet listeners = new();
        Option<int> partitions = new("--partitions")
        {
            Description = "How many partitions a topic gets when its creator does not say (Kafka's num.partitions).",
            HelpName = "N",
            DefaultValueFactory = _ => 1,
            CustomParser = result =>
            {
                string text = result.Tokens[0].Value;
                if (int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out int count) && count >= 1 && count <= s_maxPartitionCount)
                {
                    return count;
                }

                result.AddError($"--partitions: '{text}' is not a whole number from 1 to {s_maxPartitionCount}.");
                return 1;
            },
        };

        Option<Dictionary<string, string>> set = SettingsOption();

        Command command = new("serve", "Runs a broker that Kafka clients can connect to, until it is told to stop.")
        {
            data, partitions, set,
        };
        listeners.AddTo(command);
        command.Validators.Add(result =>
        {
            bool isSet = result.GetResult(set)?.Tokens.Any(static token => token.Value.StartsWith("num.partitions=", StringComparison.Ordinal)) == true;
            if (isSet && result.GetResult(partitions) is { Implicit: false })
            {
                result.AddError("--partitions and --set num.partitions are both given, and they are the same setting: give one of them.");
            }
        });
        command.SetAction((parsed, cancellationToken) =>
        {
            BrokerOptions options = new()
            {
                DataDirectory = Path.GetFullPath(parsed.GetRequiredValue(data)),
                DefaultPartitionCount = parsed.GetValue(partitions),
            };
            if (!BrokerSettings.TryApply(options, parsed.GetValue(set) ?? [], out string? error))
            {
                throw new InvalidOperationException(error);
            }

            return ServeAsync(options, token => listeners.ApplyAsync(parsed, options, token), parsed.InvocationConfiguration, cancellationToken);
        });
        return command;
    }

    private static async Task<int> ServeAsync(
        BrokerOptions options, Func<CancellationToken, Task> addListeners, InvocationConfiguration console, CancellationToken cancellationToken)
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
            await addListeners(cancellationToken);
            broker = await KafkaBroker.StartAsync(options, new FileStorage(), TimeProvider.System, loggers, stop.Token);
        }
        catch (BrokerStartException failure)
        {
            await console.Error.WriteLineAsync(PropertyNames.OfServe(failure.Message));
            return failure.Failure == BrokerStartFailure.InvalidOptions ? ExitCode.Usage : ExitCode.Failure;
        }
        catch (OperationCanceledException) when (stop.Token.IsCancellationRequested)
        {
            return ExitCode.Success;
        }

        await using (broker)
        {
            await console.Output.WriteLineAsync(
                $"Millrace is listening on {string.Join(" and ", broker.Listeners)}, data in {options.DataDirectory}. Press Ctrl-C to stop.");
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

            BrokerOptions options = new();
            if (!BrokerSettings.TryApply(options, settings, out string? error))
            {
                result.AddError(error);
            }
            else if (options.DefaultPartitionCount < 1 || options.DefaultPartitionCount > s_maxPartitionCount)
            {
                result.AddError($"num.partitions is {options.DefaultPartitionCount}: give 1 to {s_maxPartitionCount}.");
            }

            return settings;
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
