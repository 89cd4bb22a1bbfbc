namespace Millrace.LoadTest.Scenarios;

internal static class TransactionsScenario
{
    public static IReadOnlyList<Measurement> Run(RunSettings settings) => [];
}
